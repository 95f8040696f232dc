// Names in certificates: subjects, alternative names, the usages that go with them.

import { isIP } from 'node:net';
import * as der from './der.ts';
import { PkiError } from './errors.ts';

/** Parts of a subject that nodes and their owners use, in the order in which they are written. */
export const subjectParts = {
  C: '2.5.4.6',
  ST: '2.5.4.8',
  L: '2.5.4.7',
  O: '2.5.4.10',
  OU: '2.5.4.11',
  CN: '2.5.4.3',
} as const;

export type SubjectPart = keyof typeof subjectParts;
export type Subject = Readonly<Partial<Record<SubjectPart, string>>>;

export const oids = {
  extensionRequest: '1.2.840.113549.1.9.14',
  subjectAltName: '2.5.29.17',
  keyUsage: '2.5.29.15',
  extendedKeyUsage: '2.5.29.37',
  basicConstraints: '2.5.29.19',
  subjectKeyIdentifier: '2.5.29.14',
  authorityKeyIdentifier: '2.5.29.35',
  crlNumber: '2.5.29.20',
  crlReason: '2.5.29.21',
  serverAuth: '1.3.6.1.5.5.7.3.1',
  clientAuth: '1.3.6.1.5.5.7.3.2',
} as const;

/** Key usages by the number of their flag. */
export const keyUsages = { digitalSignature: 0, keyEncipherment: 2, keyCertSign: 5, cRLSign: 6 } as const;
export type KeyUsage = keyof typeof keyUsages;

const dnsName = 2;
const ipAddress = 7;
const ipv4Bytes = 4;

export function encodeSubject(subject: Subject): der.Node {
  const present = (Object.keys(subjectParts) as SubjectPart[]).flatMap((part) => {
    const value = subject[part];
    return value === undefined ? [] : [{ part, value }];
  });
  return der.sequence(
    ...present.map(({ part, value }) =>
      // A country is two letters of the old alphabet, by its definition.
      der.set(der.sequence(der.oid(subjectParts[part]), part === 'C' ? der.printable(value) : der.utf8(value))),
    ),
  );
}

/** What is known of a subject. @throws PkiError `PKI_NAME` if a part is there twice, since readers differ in which counts */
export function decodeSubject(node: der.Node | undefined): Subject {
  const byOid = new Map(Object.entries(subjectParts).map(([part, oid]) => [oid as string, part as SubjectPart]));
  const subject: Partial<Record<SubjectPart, string>> = {};
  for (const attribute of der.partsOf(node).flatMap((set) => der.partsOf(set))) {
    const [type, value] = der.partsOf(attribute);
    const part = byOid.get(der.oidOf(type));
    if (part === undefined) continue;
    if (subject[part] !== undefined) throw new PkiError('PKI_NAME', `the subject has ${part} twice`);
    subject[part] = der.textOf(value);
  }
  return subject;
}

export interface AlternativeNames {
  readonly dns: readonly string[];
  readonly ip: readonly string[];
  /** How many there are of other types, such as e-mail addresses and URIs. */
  readonly others: number;
}

export function encodeAlternativeNames(names: readonly string[]): der.Node {
  return der.sequence(
    ...names.map((name) =>
      isIP(name) ? der.implicit(ipAddress, bytesOfAddress(name)) : der.implicit(dnsName, Buffer.from(name, 'latin1')),
    ),
  );
}

export function decodeAlternativeNames(value: Uint8Array): AlternativeNames {
  const all = der.partsOf(der.decode(value));
  return {
    dns: all.filter((node) => der.isTag(node, dnsName)).map((node) => der.bytesOf(node).toString('latin1')),
    ip: all.filter((node) => der.isTag(node, ipAddress)).map((node) => addressOf(der.bytesOf(node))),
    others: all.filter((node) => !der.isTag(node, dnsName) && !der.isTag(node, ipAddress)).length,
  };
}

export function extension(oid: string, value: der.Node, critical = false): der.Node {
  return der.sequence(der.oid(oid), ...(critical ? [der.boolean(true)] : []), der.octets(der.encode(value)));
}

/** Values of extensions by their identifier. */
export function decodeExtensions(node: der.Node | undefined): ReadonlyMap<string, Buffer> {
  return new Map(
    der.partsOf(node).map((entry) => {
      const parts = der.partsOf(entry);
      return [der.oidOf(parts[0]), der.bytesOf(der.isBoolean(parts[1]) ? parts[2] : parts[1])];
    }),
  );
}

function bytesOfAddress(address: string): Buffer {
  if (isIP(address) === 4) return Buffer.from(address.split('.').map(Number));
  // The part after `::`, if there is one, ends at the last of the eight groups.
  const [head = '', tail = ''] = address.split('::');
  const groups = (text: string) => (text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16)));
  const [first, last] = [groups(head), groups(tail)];
  const bytes = Buffer.alloc(16);
  for (const [index, group] of first.entries()) bytes.writeUInt16BE(group, index * 2);
  for (const [index, group] of last.entries()) bytes.writeUInt16BE(group, 16 - (last.length - index) * 2);
  return bytes;
}

function addressOf(bytes: Buffer): string {
  if (bytes.length === ipv4Bytes) return [...bytes].join('.');
  return (bytes.toString('hex').match(/.{4}/g) ?? []).map((group) => Number.parseInt(group, 16).toString(16)).join(':');
}
