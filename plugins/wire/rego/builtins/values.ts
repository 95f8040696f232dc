// How functions for policies read what they are given. What is not as they need it makes an expression undefined, as in Go.

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type Builtin = (...given: Json[]) => unknown;

/** Thrown where Go reports an error: the expression is undefined, and the policy goes on. */
export class Undefined extends Error {}

/** Ends the evaluation: where it is not clear what Go would answer. */
export class Unclear extends Error {
  override readonly name = 'Unclear';
}

export function text(value: Json | undefined): string {
  if (typeof value !== 'string') throw new Undefined('no string');
  return value;
}

export function number(value: Json | undefined): number {
  if (typeof value !== 'number') throw new Undefined('no number');
  return value;
}

export function integer(value: Json | undefined): number {
  const given = number(value);
  if (!Number.isInteger(given)) throw new Undefined('no integer');
  return given;
}

export function list(value: Json | undefined): readonly Json[] {
  if (!Array.isArray(value)) throw new Undefined('no array');
  return value;
}

export function isObject(value: Json | undefined): value is { readonly [key: string]: Json } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A string, or several. */
export function texts(value: Json | undefined): readonly string[] {
  return Array.isArray(value) ? value.map(text) : [text(value)];
}

/** Numbers that JavaScript can not hold exactly go as text. */
export function exact(value: bigint): ArrayBuffer {
  const bytes = new TextEncoder().encode(String(value));
  return bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength) as ArrayBuffer;
}

/** Turns errors of the kind that Go has into `undefined`. */
export function lenient(all: Readonly<Record<string, Builtin>>): Record<string, Builtin> {
  return Object.fromEntries(
    Object.entries(all).map(([name, builtin]) => [
      name,
      (...given: Json[]) => {
        try {
          return builtin(...given);
        } catch (error) {
          if (error instanceof Undefined) return undefined;
          throw error;
        }
      },
    ]),
  );
}

/** Rego's order: null, booleans, numbers, strings, arrays, objects. */
export function compare(a: Json, b: Json): number {
  const rank = (value: Json) =>
    value === null
      ? 0
      : typeof value === 'boolean'
        ? 1
        : typeof value === 'number'
          ? 2
          : typeof value === 'string'
            ? 3
            : Array.isArray(value)
              ? 4
              : 5;
  if (rank(a) !== rank(b)) return rank(a) - rank(b);
  if (typeof a === 'string' && typeof b === 'string') return Buffer.compare(Buffer.from(a), Buffer.from(b));
  if (typeof a === 'object' && a !== null && typeof b === 'object' && b !== null) return compareMany(a, b);
  return a === b ? 0 : (a as number) < (b as number) ? -1 : 1;
}

function compareMany(a: Json & object, b: Json & object): number {
  const [left, right] = [flat(a), flat(b)];
  for (const [index, item] of left.entries()) {
    const other = right[index];
    if (other === undefined) return 1;
    const order = compare(item, other);
    if (order !== 0) return order;
  }
  return left.length - right.length;
}

function flat(value: Json & object): readonly Json[] {
  if (Array.isArray(value)) return value;
  const keys = Object.keys(value).sort((x, y) => compare(x, y));
  return [...keys, ...keys.map((key) => (value as { readonly [key: string]: Json })[key] ?? null)];
}

/** Sets come as arrays, in any order, so that an array in which nothing is there twice may be one. */
export function maybeSet(value: Json | undefined): boolean {
  if (!Array.isArray(value)) return false;
  const sorted = value.toSorted(compare);
  return sorted.every((item, index) => index === 0 || compare(sorted[index - 1] as Json, item) !== 0);
}
