// Keys of a node: made here and never sent anywhere. While a node still has a certificate that it serves with, its new key waits
// beside the old one.

import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Subject } from '../wire/pki/names.ts';
import { makeRequest } from '../wire/pki/request.ts';
import { publicHex, seedHex, signHex } from '../wire/tokens/ed25519.ts';
import { writeWhole } from '../wire/whole-file.ts';

const rsaBits = 2048;
const folderMode = 0o771;
const nextEnd = '.next';

export const keyFile = (ssldir: string): string => join(ssldir, 'private.pem');
export const certificateFile = (ssldir: string): string => join(ssldir, 'certificate.pem');
export const authoritiesFile = (ssldir: string): string => join(ssldir, 'ca.pem');
export const requestFile = (ssldir: string): string => join(ssldir, 'csr.pem');
export const seedFile = (folder: string): string => join(folder, 'server.seed');
export const serverTokenFile = (folder: string): string => join(folder, 'server.jwt');

/** Where a new secret goes while the old one is still needed. */
export const nextOf = (file: string): string => `${file}${nextEnd}`;

export interface NewRequest {
  readonly csr: string;
  readonly public_key: string;
  readonly ssldir: string;
}

/** Makes an RSA key off the event loop, or takes one that was prepared, and a certificate request with it. */
export async function makeKeyAndRequest(
  ssldir: string,
  { subject, names, preparedKey }: { subject: Subject; names: readonly string[]; preparedKey: string | undefined },
): Promise<NewRequest> {
  const privateKey = await newKey(preparedKey);
  const publicKey = createPublicKey(privateKey);
  const csr = makeRequest({ subject, names, publicKey, privateKey });
  mkdirSync(ssldir, { recursive: true, mode: folderMode });
  const file = keyFile(ssldir);
  // A key that is in use stays until there is a certificate for the new one.
  const inUse = existsSync(certificateFile(ssldir)) && existsSync(file);
  writeWhole(inUse ? nextOf(file) : file, privateKey.export({ type: 'pkcs1', format: 'pem' }).toString(), 0o600);
  writeWhole(requestFile(ssldir), csr, 0o644);
  return { csr, public_key: pkcs1Pem(publicKey), ssldir };
}

/** The key that the latest request was made with, and the file it is in; undefined if there is none that can be read. */
export function currentKey(ssldir: string): { key: KeyObject; file: string; pem: string } | undefined {
  for (const file of [nextOf(keyFile(ssldir)), keyFile(ssldir)]) {
    if (!existsSync(file)) continue;
    try {
      const pem = readFileSync(file, 'utf8');
      return { key: createPrivateKey(pem), file, pem };
    } catch {
      // A key that can not be read fits no certificate.
    }
  }
  return undefined;
}

/** A seed of an ed25519 key, and the nonce signed with it. The token that belonged to an earlier seed is worth nothing any more. */
export async function makeSeed(
  folder: string,
  nonce: string,
): Promise<{ public_key: string; directory: string; signature: string }> {
  const { privateKey } = await promisify(generateKeyPair)('ed25519');
  const [seed, token] = [seedFile(folder), serverTokenFile(folder)];
  const inUse = existsSync(seed) && existsSync(token);
  writeWhole(inUse ? nextOf(seed) : seed, seedHex(privateKey), 0o600);
  if (!inUse) rmSync(token, { force: true });
  return { public_key: publicHex(privateKey), directory: folder, signature: signHex(nonce, privateKey) };
}

export function readIfThere(file: string): string | undefined {
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined;
}

async function newKey(preparedKey: string | undefined): Promise<KeyObject> {
  if (preparedKey !== undefined) return createPrivateKey(readFileSync(preparedKey));
  return (await promisify(generateKeyPair)('rsa', { modulusLength: rsaBits })).privateKey;
}

/** As Choria's agent writes it: PKCS #1 under the banner of another form. */
function pkcs1Pem(key: KeyObject): string {
  return key.export({ type: 'pkcs1', format: 'pem' }).toString().replaceAll('RSA PUBLIC KEY', 'PUBLIC KEY');
}
