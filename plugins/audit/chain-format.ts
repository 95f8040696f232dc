// Lines of a chain: each holds the hash of the one before, and some are signed. Whoever changes a line changes its hash, and
// with it all that follows.

import type { KeyObject } from 'node:crypto';
import { createHash } from 'node:crypto';
import { type ChainEntry, validate } from '#schemas/muster/audit/v1/chain_entry';
import { signHex, verifiesHex } from '../wire/tokens/ed25519.ts';

export type { ChainEntry };

export const firstPrev = '0'.repeat(64);

const signatureEnd = /,"signature":"([0-9a-f]{128})"}$/;

/** Where a chain is: the last line that it has. */
export interface ChainPlace {
  readonly seq: number;
  readonly hash: string;
}

/** As it is kept elsewhere: `seq:hash`. */
export function anchorText({ seq, hash }: ChainPlace): string {
  return `${seq}:${hash}`;
}

/** Undefined for a text that is none. */
export function readAnchor(text: string): ChainPlace | undefined {
  const [, seq, hash] = /^(\d{1,15}):([0-9a-f]{64})$/.exec(text.trim()) ?? [];
  return seq === undefined || hash === undefined ? undefined : { seq: Number(seq), hash };
}

export const emptyChain: ChainPlace = { seq: 0, hash: firstPrev };

export type ChainBody = Pick<ChainEntry, 'record' | 'checkpoint' | 'note'>;

/** The line that comes next, with its end. Checkpoints are signed. */
export function nextLine(
  after: ChainPlace,
  body: ChainBody,
  key: KeyObject,
): { readonly line: string; readonly place: ChainPlace } {
  const entry: ChainEntry = { seq: after.seq + 1, prev: after.hash, ...body };
  const text = JSON.stringify(entry);
  const line = body.checkpoint ? `${text.slice(0, -1)},"signature":"${signHex(text, key)}"}` : text;
  return { line: `${line}\n`, place: { seq: entry.seq, hash: hashOf(line) } };
}

/** Undefined for a line that is none. */
export function readLine(line: string): ChainEntry | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return validate(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

/** Whether the key of a checkpoint signed its line. */
export function isSigned(line: string, publicKey: string): boolean {
  const [end, signature] = signatureEnd.exec(line) ?? [];
  if (end === undefined || signature === undefined) return false;
  return verifiesHex(`${line.slice(0, -end.length)}}`, signature, publicKey);
}

export function hashOf(line: string): string {
  return createHash('sha256').update(line).digest('hex');
}

/** What is signed beside the chain, so that its end is known as well. */
export function headText({ seq, hash }: ChainPlace): string {
  return `muster-audit-head:${seq}:${hash}`;
}
