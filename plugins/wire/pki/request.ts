// Certificate requests (PKCS #10): read with their signature verified, and made.

import { createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
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
  oids,
  type Subject,
} from './names.ts';
import { digestOf, signatureAlgorithm } from './signature.ts';

export interface CertificateRequest {
  readonly subject: Subject;
  /** Empty lists if it asks for none. */
  readonly names: AlternativeNames;
  readonly publicKey: KeyObject;
}

const least = { rsaBits: 2048 } as const;
const labels = ['CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST'] as const;
const attributesTag = 0;
/** Larger ones are not looked at. */
const maxBytes = 64 * 1024;

/** @throws PkiError, also when whoever made it does not have its key */
export function readRequest(pem: string): CertificateRequest {
  if (pem.length > maxBytes)
    throw new PkiError('PKI_PEM', `the certificate request has ${pem.length} bytes; at most ${maxBytes} are read`);
  const [info, algorithm, signature] = der.partsOf(der.decode(der.fromPem(pem, ...labels)));
  const [, subject, keyInfo, attributes] = der.partsOf(info);
  if (!info || !keyInfo) throw new PkiError('PKI_DER', 'the certificate request has no subject or no key');
  const publicKey = readKey(der.encode(keyInfo));
  const digest = digestOf(der.oidOf(der.partsOf(algorithm)[0]));
  if (!verify(digest, der.encode(info), publicKey, der.bitsOf(signature)))
    throw new PkiError('PKI_SIGNATURE', 'the certificate request was not signed with its own key');
  return { subject: decodeSubject(subject), names: namesOf(attributes), publicKey };
}

export interface RequestPlan {
  readonly subject: Subject;
  readonly names?: readonly string[];
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/** A certificate request as PEM. */
export function makeRequest({ subject, names = [], publicKey, privateKey }: RequestPlan): string {
  const wanted = der.sequence(extension(oids.subjectAltName, encodeAlternativeNames(names)));
  const attributes = names.length === 0 ? [] : [der.sequence(der.oid(oids.extensionRequest), der.set(wanted))];
  const info = der.sequence(
    der.integer(0),
    encodeSubject(subject),
    der.decode(publicKey.export({ type: 'spki', format: 'der' })),
    der.tagged(attributesTag, ...attributes),
  );
  const algorithm = signatureAlgorithm(privateKey);
  const signature = sign(algorithm.digest, der.encode(info), privateKey);
  return der.toPem(labels[0], der.encode(der.sequence(info, algorithm.node(), der.bits(signature))));
}

function readKey(spki: Buffer): KeyObject {
  let key: KeyObject;
  try {
    key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
  } catch (error) {
    throw new PkiError('PKI_KEY', 'the public key of the certificate request can not be read', { cause: error });
  }
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  if (key.asymmetricKeyType === 'rsa' && modulusLength < least.rsaBits)
    throw new PkiError('PKI_KEY', `the key of the certificate request has ${modulusLength} bits; RSA keys need ${least.rsaBits}`);
  if (key.asymmetricKeyType === 'rsa' && publicExponent < 3n)
    throw new PkiError('PKI_KEY', 'the key of the certificate request has an exponent that makes it worthless');
  return key;
}

function namesOf(attributes: der.Node | undefined): AlternativeNames {
  const none: AlternativeNames = { dns: [], ip: [], others: 0 };
  if (!attributes) return none;
  for (const attribute of der.partsOf(attributes)) {
    const [type, values] = der.partsOf(attribute);
    if (der.oidOf(type) !== oids.extensionRequest) continue;
    const wanted = decodeExtensions(der.partsOf(values)[0]).get(oids.subjectAltName);
    if (wanted) return decodeAlternativeNames(wanted);
  }
  return none;
}
