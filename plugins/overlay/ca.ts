// A certificate authority for an overlay on one machine: enough to try Muster and to test it.

import { createPrivateKey, createPublicKey, generateKeyPair, type KeyObject, X509Certificate } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type Issuer, makeCertificate, randomSerial, readCertificate } from '../wire/pki/certificate.ts';
import type { Subject } from '../wire/pki/names.ts';

const makeKeyPair = promisify(generateKeyPair);
const keyBits = 2048;
const authorityDays = 3650;
const dayMs = 86_400_000;
/** Clocks of other machines may be behind. */
const backdateMs = 3_600_000;

export interface Authority {
  readonly folder: string;
  readonly certFile: string;
  readonly certificate: string;
  readonly subject: Subject;
  readonly key: KeyObject;
}

export interface CertificateRequest {
  readonly commonName: string;
  /** DNS names and IP addresses. */
  readonly names?: readonly string[];
  readonly days?: number;
  /** Negative values make a certificate that has expired, for tests. */
  readonly clientAuth?: boolean;
  readonly serverAuth?: boolean;
}

export interface IssuedFiles {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** Loads the authority in a folder, or makes one there (RSA 2048, ten years). */
export async function openAuthority(folder: string, name: string): Promise<Authority> {
  const certFile = join(folder, 'ca.pem');
  const keyFile = join(folder, 'ca.key');
  if (existsSync(certFile) && existsSync(keyFile)) {
    const certificate = readFileSync(certFile, 'utf8');
    const key = createPrivateKey(readFileSync(keyFile, 'utf8'));
    return { folder, certFile, certificate, subject: readCertificate(certificate).subject, key };
  }
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { publicKey, privateKey } = await makeKeyPair('rsa', { modulusLength: keyBits });
  const subject = { CN: name };
  const plan = { serial: randomSerial(), subject, publicKey, ...validFor(authorityDays), authority: { pathLength: 1 } };
  const certificate = makeCertificate({ ...plan, usages: ['keyCertSign', 'cRLSign'] }, { subject, publicKey, privateKey });
  writeSecret(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }) as string);
  writeFileSync(certFile, certificate);
  return { folder, certFile, certificate, subject, key: privateKey };
}

/** Makes key and certificate files `<folder>/<commonName>.{pem,key}`, unless they are there and valid for another week. */
export async function issueFiles(
  authority: Authority,
  request: CertificateRequest,
  folder = authority.folder,
): Promise<IssuedFiles> {
  const files = {
    cert: join(folder, `${request.commonName}.pem`),
    key: join(folder, `${request.commonName}.key`),
    ca: authority.certFile,
  };
  if (isCurrent(files.cert, authority) && existsSync(files.key)) return files;
  const { certificate, key } = await issue(authority, request);
  writeSecret(files.key, key);
  writeFileSync(files.cert, certificate);
  return files;
}

/** Makes a key pair and a certificate for it, both as PEM. */
export async function issue(authority: Authority, request: CertificateRequest): Promise<{ certificate: string; key: string }> {
  const { publicKey, privateKey } = await makeKeyPair('rsa', { modulusLength: keyBits });
  return {
    certificate: certify(authority, publicKey, request),
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
  };
}

/** A certificate for a key that somebody else has, as PEM. */
export function certify(
  authority: Authority,
  publicKey: KeyObject,
  { commonName, names = [commonName], days = 397, clientAuth = true, serverAuth = true }: CertificateRequest,
): string {
  return makeCertificate(
    {
      serial: randomSerial(),
      subject: { CN: commonName },
      publicKey,
      ...validFor(days),
      usages: ['digitalSignature', 'keyEncipherment'],
      extendedUsages: [...(clientAuth ? (['clientAuth'] as const) : []), ...(serverAuth ? (['serverAuth'] as const) : [])],
      names,
    },
    issuerOf(authority),
  );
}

export function issuerOf({ subject, key }: Authority): Issuer {
  return { subject, publicKey: createPublicKey(key), privateKey: key };
}

function validFor(days: number): { notBefore: Date; notAfter: Date } {
  const now = Date.now();
  return { notBefore: new Date(Math.min(now, now + days * dayMs) - backdateMs), notAfter: new Date(now + days * dayMs) };
}

function isCurrent(file: string, authority: Authority): boolean {
  if (!existsSync(file)) return false;
  const certificate = new X509Certificate(readFileSync(file, 'utf8'));
  return (
    Date.parse(certificate.validTo) > Date.now() + 7 * dayMs &&
    certificate.verify(new X509Certificate(authority.certificate).publicKey)
  );
}

function writeSecret(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(file, text, { mode: 0o600 });
  chmodSync(file, 0o600);
}
