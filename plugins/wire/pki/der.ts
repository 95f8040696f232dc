// DER, read and written by node-forge: the few types that certificates are made of, with bytes as Buffers.

import forge from 'node-forge';
import { PkiError } from './errors.ts';

export type Node = forge.asn1.Asn1;

const { Class, Type } = forge.asn1;
const latin1 = 'latin1';
/** Years outside of these don't fit a UTCTime. */
const utcYears = { first: 1950, last: 2049 } as const;

export const sequence = (...parts: readonly Node[]): Node => constructed(Class.UNIVERSAL, Type.SEQUENCE, parts);
export const set = (...parts: readonly Node[]): Node => constructed(Class.UNIVERSAL, Type.SET, parts);
export const oid = (dotted: string): Node => primitive(Type.OID, forge.asn1.oidToDer(dotted).getBytes());
export const nothing = (): Node => primitive(Type.NULL, '');
export const boolean = (value: boolean): Node => primitive(Type.BOOLEAN, value ? '\xff' : '\x00');
export const octets = (bytes: Uint8Array): Node => primitive(Type.OCTETSTRING, text(bytes));
export const utf8 = (value: string): Node => primitive(Type.UTF8, Buffer.from(value, 'utf8').toString(latin1));
export const printable = (value: string): Node => primitive(Type.PRINTABLESTRING, value);
export const enumerated = (value: number): Node => primitive(Type.ENUMERATED, String.fromCharCode(value));

/** A whole number from its bytes, most significant first; never negative. */
export function integer(bytes: Uint8Array | number): Node {
  const given = typeof bytes === 'number' ? Buffer.from([bytes]) : Buffer.from(bytes);
  const first = given.findIndex((byte) => byte !== 0);
  const minimal = first === -1 ? Buffer.from([0]) : given.subarray(first);
  return primitive(Type.INTEGER, text((minimal[0] ?? 0) > 0x7f ? Buffer.concat([Buffer.from([0]), minimal]) : minimal));
}

export const bits = (bytes: Uint8Array, unused = 0): Node => primitive(Type.BITSTRING, String.fromCharCode(unused) + text(bytes));

/** Flags by their number, as key usages are written: without trailing zeros. */
export function flags(numbers: readonly number[]): Node {
  const highest = Math.max(...numbers);
  const bytes = Buffer.alloc((highest >> 3) + 1);
  for (const number of numbers) bytes[number >> 3] = (bytes[number >> 3] ?? 0) | (0x80 >> (number & 7));
  return bits(bytes, 7 - (highest & 7));
}

export function time(date: Date): Node {
  const year = date.getUTCFullYear();
  if (year < utcYears.first || year > utcYears.last)
    return primitive(Type.GENERALIZEDTIME, `${date.toISOString().replace(/[-:T]|\.\d+/g, '')}`);
  return primitive(
    Type.UTCTIME,
    `${date
      .toISOString()
      .slice(2)
      .replace(/[-:T]|\.\d+/g, '')}`,
  );
}

/** `[number]` around parts, or in place of the type of some bytes. */
export const tagged = (number: number, ...parts: readonly Node[]): Node => constructed(Class.CONTEXT_SPECIFIC, number, parts);
export const implicit = (number: number, bytes: Uint8Array): Node =>
  forge.asn1.create(Class.CONTEXT_SPECIFIC, number, false, text(bytes));

export const encode = (node: Node): Buffer => Buffer.from(forge.asn1.toDer(node).getBytes(), latin1);

/** @throws PkiError `PKI_DER` */
export function decode(der: Uint8Array): Node {
  try {
    // Bit strings stay bytes: forge would look for values in them.
    return forge.asn1.fromDer(text(der), { decodeBitStrings: false } as never);
  } catch (error) {
    throw new PkiError('PKI_DER', `this is not DER: ${(error as Error).message.split('\n')[0]}`, { cause: error });
  }
}

/** The parts of a sequence, set or tag. @throws PkiError `PKI_DER` */
export function partsOf(node: Node | undefined): readonly Node[] {
  if (!node || typeof node.value === 'string') throw new PkiError('PKI_DER', 'a list was expected in the DER');
  return node.value;
}

/** The bytes of a value without parts. @throws PkiError `PKI_DER` */
export function bytesOf(node: Node | undefined): Buffer {
  if (!node || typeof node.value !== 'string') throw new PkiError('PKI_DER', 'a value was expected in the DER');
  return Buffer.from(node.value, latin1);
}

/** The bytes of a bit string that has whole bytes. */
export const bitsOf = (node: Node | undefined): Buffer => bytesOf(node).subarray(1);

export function oidOf(node: Node | undefined): string {
  try {
    return forge.asn1.derToOid(bytesOf(node).toString(latin1));
  } catch (error) {
    throw new PkiError('PKI_DER', 'an object identifier was expected in the DER', { cause: error });
  }
}

/** Text of whichever of the string types it is. */
export function textOf(node: Node | undefined): string {
  const bytes = bytesOf(node);
  if ((node?.type as number) === Type.BMPSTRING) return Buffer.from(bytes).swap16().toString('utf16le');
  return bytes.toString(node?.type === Type.UTF8 ? 'utf8' : latin1);
}

export const isTag = (node: Node | undefined, number: number): boolean =>
  node?.tagClass === Class.CONTEXT_SPECIFIC && (node.type as number) === number;
export const isBoolean = (node: Node | undefined): boolean => node?.tagClass === Class.UNIVERSAL && node.type === Type.BOOLEAN;

export const isInteger = (node: Node | undefined): boolean =>
  node?.tagClass === Class.UNIVERSAL && node.type === Type.INTEGER && typeof node.value === 'string';

/** The first PEM block with one of these labels. @throws PkiError `PKI_PEM` */
export function fromPem(pem: string, ...labels: readonly string[]): Buffer {
  for (const [, label = '', body = ''] of pem.matchAll(
    /-----BEGIN ([A-Z0-9 ]{1,40})-----\s*([A-Za-z0-9+/=\s]*?)-----END \1-----/g,
  ))
    if (labels.includes(label)) return Buffer.from(body, 'base64');
  throw new PkiError('PKI_PEM', `there is no PEM block ${labels.join(' or ')} in: ${pem.slice(0, 60).replaceAll('\n', ' ')}`);
}

export function toPem(label: string, der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN ${label}-----\n${lines.join('\n')}\n-----END ${label}-----\n`;
}

function constructed(tagClass: forge.asn1.Class, type: number, parts: readonly Node[]): Node {
  return forge.asn1.create(tagClass, type, true, [...parts]);
}

function primitive(type: forge.asn1.Type, value: string): Node {
  return forge.asn1.create(Class.UNIVERSAL, type, false, value);
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString(latin1);
}
