// A certificate authority for an overlay on one machine: enough to try Muster and to test it. node-forge builds the
// ASN.1, node:crypto makes keys and signatures, which is a hundred times faster than forge's own.

import { generateKeyPair, type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import forge from 'node-forge';

const makeKeyPair = promisify(generateKeyPair);
const keyBits = 2048;
const dayMs = 86_400_000;
/** Clocks of other machines may be behind. */
const backdateMs = 3_600_000;
const dnsName = 2;
const ipAddress = 7;

export interface Authority {
  readonly folder: string;
  readonly certFile: string;
  readonly certificate: string;
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
    const { createPrivateKey } = await import('node:crypto');
    return {
      folder,
      certFile,
      certificate: readFileSync(certFile, 'utf8'),
      key: createPrivateKey(readFileSync(keyFile, 'utf8')),
    };
  }
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { publicKey, privateKey } = await makeKeyPair('rsa', { modulusLength: keyBits });
  const certificate = build({
    commonName: name,
    publicKey,
    issuer: [{ name: 'commonName', value: name }],
    signer: privateKey,
    days: 3650,
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
  writeSecret(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }) as string);
  writeFileSync(certFile, certificate);
  return { folder, certFile, certificate, key: privateKey };
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
  return build({
    commonName,
    publicKey,
    issuer: forge.pki.certificateFromPem(authority.certificate).subject.attributes,
    signer: authority.key,
    days,
    extensions: [
      { name: 'basicConstraints', cA: false, critical: true },
      { name: 'keyUsage', digitalSignature: true, keyEncipherment: true, critical: true },
      { name: 'extKeyUsage', clientAuth, serverAuth },
      {
        name: 'subjectAltName',
        altNames: names.map((name) => (isIP(name) ? { type: ipAddress, ip: name } : { type: dnsName, value: name })),
      },
    ],
  });
}

interface Plan {
  readonly commonName: string;
  readonly publicKey: KeyObject;
  readonly issuer: forge.pki.CertificateField[];
  readonly signer: KeyObject;
  readonly days: number;
  readonly extensions: object[];
}

/** What forge's types leave out of a certificate. */
type Unsigned = forge.pki.Certificate & {
  signatureOid: string;
  siginfo: { algorithmOid: string };
  tbsCertificate: forge.asn1.Asn1;
  signature: string;
};

function build({ commonName, publicKey, issuer, signer, days, extensions }: Plan): string {
  const certificate = forge.pki.createCertificate() as Unsigned;
  certificate.publicKey = forge.pki.publicKeyFromPem(publicKey.export({ type: 'spki', format: 'pem' }) as string);
  certificate.serialNumber = serialFrom(randomBytes(16));
  certificate.validity.notBefore = new Date(Math.min(Date.now(), Date.now() + days * dayMs) - backdateMs);
  certificate.validity.notAfter = new Date(Date.now() + days * dayMs);
  certificate.setSubject([{ name: 'commonName', value: commonName }]);
  certificate.setIssuer(issuer);
  certificate.setExtensions(extensions);
  certificate.signatureOid = forge.pki.oids.sha256WithRSAEncryption ?? '';
  certificate.siginfo.algorithmOid = certificate.signatureOid;
  certificate.tbsCertificate = (
    forge.pki as unknown as { getTBSCertificate(certificate: Unsigned): forge.asn1.Asn1 }
  ).getTBSCertificate(certificate);
  const tbs = Buffer.from(forge.asn1.toDer(certificate.tbsCertificate).getBytes(), 'binary');
  certificate.signature = sign('sha256', tbs, signer).toString('binary');
  return forge.pki.certificateToPem(certificate);
}

/** Random bytes as the hex of a serial number: positive, and without the leading zeros that DER forbids. */
export function serialFrom(random: Uint8Array): string {
  const bytes = Buffer.from(random);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex');
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
