// Certificates (X.509) and lists of revoked ones: made, and read further than node:crypto does.

import { createHash, type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto';
import * as der from './der.ts';
import { PkiError } from './errors.ts';
import {
  type AlternativeNames,
  decodeAlternativeNames,
  decodeExtensions,
  decodeSubject,
  encodeAlternativeNames,
  encodeSubject,
  extension,
  type KeyUsage,
  keyUsages,
  oids,
  type Subject,
} from './names.ts';
import { signatureAlgorithm } from './signature.ts';

export interface Issuer {
  readonly subject: Subject;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
  /** `keyIdentifierOf` its key, for one that signs often. */
  readonly keyIdentifier?: Buffer;
}

export interface CertificatePlan {
  /** Hex. */
  readonly serial: string;
  readonly subject: Subject;
  readonly publicKey: KeyObject;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly usages: readonly KeyUsage[];
  /** For a certificate authority: how many others may come below it. Undefined for anything else. */
  readonly authority?: { readonly pathLength: number };
  readonly extendedUsages?: readonly ('serverAuth' | 'clientAuth')[];
  readonly names?: readonly string[];
}

const version3 = 2;
const serialBytes = 20;
const extensionsTag = 3;

/** A serial number of 20 random bytes: positive, and without the leading zeros that DER forbids. */
export function randomSerial(): string {
  const bytes = randomBytes(serialBytes);
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40;
  return bytes.toString('hex').toUpperCase();
}

/** A certificate as PEM. */
export function makeCertificate(plan: CertificatePlan, issuer: Issuer): string {
  const algorithm = signatureAlgorithm(issuer.privateKey);
  const keyInfo = keyInfoOf(plan.publicKey);
  const body = der.sequence(
    der.tagged(0, der.integer(version3)),
    der.integer(Buffer.from(plan.serial, 'hex')),
    algorithm.node(),
    encodeSubject(issuer.subject),
    der.sequence(der.time(plan.notBefore), der.time(plan.notAfter)),
    encodeSubject(plan.subject),
    keyInfo,
    der.tagged(extensionsTag, der.sequence(...extensionsOf(plan, keyInfo, issuer))),
  );
  return signed('CERTIFICATE', body, issuer);
}

function extensionsOf(plan: CertificatePlan, keyInfo: der.Node, issuer: Issuer): der.Node[] {
  const { authority, extendedUsages = [], names = [] } = plan;
  const constraints = authority ? [der.boolean(true), der.integer(authority.pathLength)] : [];
  return [
    extension(oids.basicConstraints, der.sequence(...constraints), true),
    extension(oids.keyUsage, der.flags(plan.usages.map((usage) => keyUsages[usage])), true),
    ...(extendedUsages.length > 0
      ? [extension(oids.extendedKeyUsage, der.sequence(...extendedUsages.map((usage) => der.oid(oids[usage]))))]
      : []),
    extension(oids.subjectKeyIdentifier, der.octets(identifierIn(keyInfo))),
    authorityKey(issuer),
    ...(names.length > 0 ? [extension(oids.subjectAltName, encodeAlternativeNames(names))] : []),
  ];
}

export interface RevokedEntry {
  readonly serial: string;
  readonly at: Date;
  /** Number of the reason (RFC 5280); 0 is not written. */
  readonly reason: number;
}

export interface RevocationList {
  readonly number: number;
  readonly thisUpdate: Date;
  readonly nextUpdate: Date;
  readonly revoked: readonly RevokedEntry[];
}

/** A list of revoked certificates as PEM. */
export function makeRevocationList({ number, thisUpdate, nextUpdate, revoked }: RevocationList, issuer: Issuer): string {
  const entries = revoked.map(({ serial, at, reason }) =>
    der.sequence(
      der.integer(Buffer.from(serial, 'hex')),
      der.time(at),
      ...(reason === 0 ? [] : [der.sequence(extension(oids.crlReason, der.enumerated(reason)))]),
    ),
  );
  const numberBytes = Buffer.alloc(6);
  numberBytes.writeUIntBE(number, 0, numberBytes.length);
  const body = der.sequence(
    der.integer(1),
    signatureAlgorithm(issuer.privateKey).node(),
    encodeSubject(issuer.subject),
    der.time(thisUpdate),
    der.time(nextUpdate),
    // A list of nothing is left out, by its definition.
    ...(entries.length > 0 ? [der.sequence(...entries)] : []),
    der.tagged(0, der.sequence(authorityKey(issuer), extension(oids.crlNumber, der.integer(numberBytes)))),
  );
  return signed('X509 CRL', body, issuer);
}

export interface CertificateDetails {
  readonly x509: X509Certificate;
  readonly subject: Subject;
  readonly names: AlternativeNames | undefined;
  /** Whether it says so of itself; node:crypto looks at the usages too. */
  readonly isAuthority: boolean;
  /** Undefined where the certificate does not say. */
  readonly usages: readonly number[] | undefined;
  readonly extendedUsages: readonly string[] | undefined;
  /** Values by their identifier. */
  readonly extensions: ReadonlyMap<string, Buffer>;
}

/** @throws PkiError if it can't be read */
export function readCertificate(pem: string): CertificateDetails {
  const bytes = der.fromPem(pem, 'CERTIFICATE');
  let x509: X509Certificate;
  try {
    x509 = new X509Certificate(bytes);
  } catch (error) {
    throw new PkiError('PKI_DER', `this is no certificate: ${(error as Error).message}`, { cause: error });
  }
  const body = der.partsOf(der.partsOf(der.decode(bytes))[0]);
  const tag = body.find((node) => der.isTag(node, extensionsTag));
  const extensions = tag ? decodeExtensions(der.partsOf(tag)[0]) : new Map<string, Buffer>();
  const names = extensions.get(oids.subjectAltName);
  const usages = extensions.get(oids.keyUsage);
  const extendedUsages = extensions.get(oids.extendedKeyUsage);
  return {
    x509,
    extensions,
    // Version (left out in the first one), serial, algorithm, issuer, validity, subject.
    subject: decodeSubject(body[der.isTag(body[0], 0) ? 5 : 4]),
    names: names && decodeAlternativeNames(names),
    isAuthority: saysAuthority(extensions.get(oids.basicConstraints)),
    usages: usages && flagsOf(der.bitsOf(der.decode(usages))),
    extendedUsages: extendedUsages && der.partsOf(der.decode(extendedUsages)).map((node) => der.oidOf(node)),
  };
}

/** Every PEM block with a certificate, in order. */
export function certificatesIn(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
}

function saysAuthority(constraints: Buffer | undefined): boolean {
  const [first] = constraints ? der.partsOf(der.decode(constraints)) : [];
  return der.isBoolean(first) && der.bytesOf(first)[0] !== 0;
}

function flagsOf(bytes: Buffer): number[] {
  return [...bytes].flatMap((byte, at) =>
    [0, 1, 2, 3, 4, 5, 6, 7].filter((bit) => byte & (0x80 >> bit)).map((bit) => at * 8 + bit),
  );
}

function authorityKey({ publicKey, keyIdentifier = keyIdentifierOf(publicKey) }: Issuer): der.Node {
  return extension(oids.authorityKeyIdentifier, der.sequence(der.implicit(0, keyIdentifier)));
}

/** SHA-1 of the key's bits, which is how everybody makes this identifier; nothing depends on its strength. */
export function keyIdentifierOf(publicKey: KeyObject): Buffer {
  return identifierIn(keyInfoOf(publicKey));
}

function keyInfoOf(publicKey: KeyObject): der.Node {
  return der.decode(publicKey.export({ type: 'spki', format: 'der' }));
}

function identifierIn(keyInfo: der.Node): Buffer {
  return createHash('sha1')
    .update(der.bitsOf(der.partsOf(keyInfo)[1]))
    .digest();
}

function signed(label: string, body: der.Node, { privateKey }: Issuer): string {
  const { digest, node } = signatureAlgorithm(privateKey);
  const signature = sign(digest, der.encode(body), privateKey);
  return der.toPem(label, der.encode(der.sequence(body, node(), der.bits(signature))));
}
