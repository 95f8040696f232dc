// Lists of revoked certificates, read.

import { verify, type X509Certificate } from 'node:crypto';
import * as der from './der.ts';
import { PkiError } from './errors.ts';
import { digestOf } from './signature.ts';

/** UTCTime and GeneralizedTime. */
const timeTypes = [23, 24];

/** Serial numbers in upper-case hex, of a list in DER or of all lists in PEM, whoever signed them. @throws PkiError */
export function revokedSerials(file: Buffer): string[] {
  return listsIn(file).flatMap(serialsOf);
}

export interface SignedList {
  readonly signer: X509Certificate;
  readonly serials: ReadonlySet<string>;
  /** Unix milliseconds; undefined where there is to be no other. */
  readonly nextUpdate: number | undefined;
}

/** @throws PkiError `PKI_SIGNATURE` for a list that none of these signed */
export function signedLists(file: Buffer, authorities: readonly X509Certificate[]): SignedList[] {
  return listsIn(file).map((list) => {
    const [body, algorithm, signature] = der.partsOf(der.decode(list));
    if (!body) throw new PkiError('PKI_DER', 'the list of revoked certificates is empty');
    const digest = digestOf(der.oidOf(der.partsOf(algorithm)[0]));
    const signer = authorities.find((authority) => signed(digest, der.encode(body), authority, der.bitsOf(signature)));
    if (!signer)
      throw new PkiError('PKI_SIGNATURE', 'none of the authorities that are trusted signed the list of revoked certificates');
    const [, nextUpdate] = der.partsOf(body).filter(({ type }) => timeTypes.includes(type as number));
    return { signer, serials: new Set(serialsOf(list)), nextUpdate: nextUpdate && millisecondsOf(der.textOf(nextUpdate)) };
  });
}

function signed(digest: string | null, body: Buffer, { publicKey }: X509Certificate, signature: Buffer): boolean {
  try {
    return verify(digest, body, publicKey, signature);
  } catch {
    // A key of another kind.
    return false;
  }
}

function millisecondsOf(text: string): number {
  const [, year = '', month = '', day = '', hour = '', minute = '', second = ''] =
    /^(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/.exec(text) ?? [];
  // Two digits are of 1950 to 2049, by their definition.
  const full = year.length === 2 ? (Number(year) < 50 ? 2_000 : 1_900) + Number(year) : Number(year);
  const time = Date.UTC(full, Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second));
  if (year !== '' && !Number.isNaN(time)) return time;
  throw new PkiError('PKI_DER', 'the list of revoked certificates has a time that is none');
}

function listsIn(file: Buffer): Buffer[] {
  const blocks = file.toString('latin1').match(/-----BEGIN X509 CRL-----[\s\S]*?-----END X509 CRL-----/g);
  return blocks?.map((block) => der.fromPem(block, 'X509 CRL')) ?? [file];
}

function serialsOf(list: Buffer): string[] {
  const parts = der.partsOf(der.partsOf(der.decode(list))[0]);
  // The only list of lists that begin with a number; everything else in here is a name, a time, or tagged.
  const entries = parts.slice(1).find((node) => Array.isArray(node.value) && isEntry(node.value[0]));
  return entries ? der.partsOf(entries).map((entry) => serialOf(der.partsOf(entry)[0])) : [];
}

function isEntry(node: der.Node | undefined): boolean {
  if (!node || typeof node.value === 'string') return false;
  const [first] = node.value;
  return der.isInteger(first);
}

function serialOf(node: der.Node | undefined): string {
  return der
    .bytesOf(node)
    .toString('hex')
    .toUpperCase()
    .replace(/^(00)+(?=.)/, '');
}
