// Keys and certificates of the authority itself: a root, and intermediates below it, of which the last one signs. Those before
// stay trusted, and have lists of their own, until they end.

import { createPrivateKey, createPublicKey, generateKeyPair, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  type Issuer,
  keyIdentifierOf,
  makeCertificate,
  randomSerial,
  readCertificate,
} from '../../plugins/wire/pki/certificate.ts';
import { HookError } from '../../plugins/wire/provisioning/errors.ts';
import { writeWhole } from '../../plugins/wire/whole-file.ts';

export interface Intermediate {
  /** From 1 on. */
  readonly generation: number;
  readonly issuer: Issuer;
  readonly pem: string;
  readonly begin: Date;
  readonly end: Date;
}

const makeKeyPair = promisify(generateKeyPair);
const curve = 'P-256';
/** Clocks of other machines may be behind. */
export const backdateMs = 3_600_000;
const years = { root: 20, intermediate: 10 } as const;
const privateMode = 0o600;
const publicMode = 0o644;

/** The first has no number. */
const nameOf = (generation: number): string => (generation === 1 ? 'intermediate' : `intermediate-${generation}`);

/** Whether there is an authority. The certificate of the intermediate is written last. */
export function isComplete(folder: string): boolean {
  return hasIntermediate(folder, 1);
}

export function hasIntermediate(folder: string, generation: number): boolean {
  return existsSync(join(folder, `${nameOf(generation)}.pem`));
}

/** What a process that died in the middle left behind is made anew: nobody has seen it yet. */
export async function makeRoot(folder: string, name: string): Promise<void> {
  const root = await makeIssuer(folder, 'root', `${name} Root CA`);
  const pem = makeCertificate(
    {
      serial: randomSerial(),
      subject: root.subject,
      publicKey: root.publicKey,
      notBefore: new Date(Date.now() - backdateMs),
      notAfter: afterYears(years.root),
      usages: ['keyCertSign', 'cRLSign'],
      authority: { pathLength: 1 },
    },
    root,
  );
  writeWhole(join(folder, 'root.pem'), pem, publicMode);
}

/** For those who hold the lock. */
export async function makeIntermediate(folder: string, name: string, generation: number): Promise<void> {
  const root = loadIssuer(folder, 'root');
  const rootEnd = new Date(new X509Certificate(readFileSync(join(folder, 'root.pem'), 'utf8')).validTo);
  const file = nameOf(generation);
  const intermediate = await makeIssuer(folder, file, generation === 1 ? `${name} CA` : `${name} CA ${generation}`);
  const pem = makeCertificate(
    {
      serial: randomSerial(),
      subject: intermediate.subject,
      publicKey: intermediate.publicKey,
      notBefore: new Date(Date.now() - backdateMs),
      notAfter: new Date(Math.min(afterYears(years.intermediate).getTime(), rootEnd.getTime())),
      usages: ['keyCertSign', 'cRLSign'],
      authority: { pathLength: 0 },
    },
    root,
  );
  writeWhole(join(folder, `${file}.pem`), pem, publicMode);
}

/** All that have not ended, and the last one in any case; the oldest first. @throws HookError */
export function loadIntermediates(folder: string): Intermediate[] {
  const all: Intermediate[] = [];
  for (let generation = 1; hasIntermediate(folder, generation); generation += 1) {
    const pem = readFileSync(join(folder, `${nameOf(generation)}.pem`), 'utf8');
    const { validFrom, validTo } = new X509Certificate(pem);
    const issuer = loadIssuer(folder, nameOf(generation));
    all.push({ generation, issuer, pem, begin: new Date(validFrom), end: new Date(validTo) });
  }
  return all.filter(({ end }, index) => index === all.length - 1 || end.getTime() > Date.now());
}

async function makeIssuer(folder: string, file: string, commonName: string): Promise<Issuer> {
  const { publicKey, privateKey } = await makeKeyPair('ec', { namedCurve: curve });
  writeWhole(join(folder, `${file}.key`), privateKey.export({ type: 'pkcs8', format: 'pem' }) as string, privateMode);
  return { subject: { CN: commonName }, publicKey, privateKey };
}

/** @throws HookError `HOOK_CONFIG` for a key that others can read, or that belongs to another certificate */
export function loadIssuer(folder: string, name: string): Issuer {
  const keyFile = join(folder, `${name}.key`);
  const certificate = readCertificate(readFileSync(join(folder, `${name}.pem`), 'utf8'));
  if ((statSync(keyFile).mode & 0o077) !== 0)
    throw new HookError('HOOK_CONFIG', `${keyFile} can be read by others; try: chmod 600 ${keyFile}`);
  const privateKey = createPrivateKey(readFileSync(keyFile, 'utf8'));
  if (!certificate.x509.checkPrivateKey(privateKey))
    throw new HookError('HOOK_CONFIG', `${keyFile} is not the key of ${name}.pem; put back the one that belongs to it`);
  const publicKey = createPublicKey(privateKey);
  return { subject: certificate.subject, publicKey, privateKey, keyIdentifier: keyIdentifierOf(publicKey) };
}

function afterYears(count: number): Date {
  const date = new Date();
  date.setUTCFullYear(date.getUTCFullYear() + count);
  return date;
}
