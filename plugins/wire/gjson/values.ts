// What a path finds: values of JSON, and objects that a path made, whose keys have an order and may come twice.

import { parseFloat64 } from '../go-numbers.ts';
import { readEscapes, trim } from './path.ts';

/** An object that a path made. */
export class Members {
  readonly list: readonly (readonly [key: string, value: unknown])[];

  constructor(list: readonly (readonly [string, unknown])[]) {
    this.list = list;
  }
}

/** Keys and values of an object in their order; undefined if it is none. */
export function membersOf(value: unknown): readonly (readonly [string, unknown])[] | undefined {
  if (value instanceof Members) return value.list;
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : undefined;
}

/** Without objects of our own. Of equal keys the first counts. */
export function toPlain(value: unknown): unknown {
  if (Array.isArray(value)) return value.some(isMade) ? value.map(toPlain) : value;
  if (!(value instanceof Members)) return value;
  const plain = Object.create(null) as Record<string, unknown>;
  for (const [key, item] of value.list) if (!Object.hasOwn(plain, key)) plain[key] = toPlain(item);
  return plain;
}

function isMade(value: unknown): boolean {
  return value instanceof Members || (Array.isArray(value) && value.some(isMade));
}

/** As compact JSON. */
export function toText(value: unknown): string {
  if (value instanceof Members) return `{${value.list.map(([key, item]) => `${JSON.stringify(key)}:${toText(item)}`).join(',')}}`;
  if (Array.isArray(value)) return `[${value.map(toText).join(',')}]`;
  return JSON.stringify(value) ?? '';
}

/** The first value in a text, told by how it begins; undefined if it begins like none. */
export function parseText(text: string): unknown {
  const trimmed = trim(text);
  try {
    return JSON.parse(trimmed) as unknown;
  } catch {
    return parseLoosely(trimmed);
  }
}

function parseLoosely(text: string): unknown {
  if (/^[{[]/.test(text)) return undefined;
  if (text.startsWith('"')) return readEscapes(/^"((?:[^"\\]|\\.)*)/s.exec(text)?.[1] ?? '');
  if (text.startsWith('t')) return true;
  if (text.startsWith('f')) return false;
  if (text.startsWith('nu') || text === 'n') return null;
  return /^[-+\diInN]/.test(text) ? looseNumber(/^[^\s,\]}]+/.exec(text)?.[0] ?? '') : undefined;
}

/** What is no number counts as nought. */
export function looseNumber(text: string): number {
  return parseFloat64(text) ?? 0;
}
