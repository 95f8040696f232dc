// Semantic versions, as OPA compares them.

import { type Builtin, type Json, text, Undefined } from './values.ts';

const form =
  /^v?(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*)(?:\.(?:0|[1-9]\d*|\d*[A-Za-z-][0-9A-Za-z-]*))*))?(?:\+[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*)?$/;

export const semverBuiltins: Readonly<Record<string, Builtin>> = {
  'semver.is_valid': (version) => typeof version === 'string' && form.test(version),
  'semver.compare': (a, b) => compareVersions(parsed(a), parsed(b)),
};

interface Version {
  readonly numbers: readonly bigint[];
  readonly before: readonly string[];
}

function parsed(value: Json | undefined): Version {
  const found = form.exec(text(value));
  if (!found) throw new Undefined('no version');
  const [, major = '', minor = '', patch = '', before] = found;
  return { numbers: [BigInt(major), BigInt(minor), BigInt(patch)], before: before?.split('.') ?? [] };
}

function compareVersions(a: Version, b: Version): number {
  for (const [index, number] of a.numbers.entries()) {
    const other = b.numbers[index] ?? 0n;
    if (number !== other) return number < other ? -1 : 1;
  }
  if (a.before.length === 0 || b.before.length === 0) return Math.sign(b.before.length - a.before.length);
  for (const [index, part] of a.before.entries()) {
    const other = b.before[index];
    if (other === undefined) return 1;
    const order = comparePart(part, other);
    if (order !== 0) return order;
  }
  return a.before.length < b.before.length ? -1 : 0;
}

function comparePart(a: string, b: string): number {
  const [first, second] = [/^\d+$/.test(a), /^\d+$/.test(b)];
  if (first && second) return BigInt(a) < BigInt(b) ? -1 : BigInt(a) > BigInt(b) ? 1 : 0;
  if (first !== second) return first ? -1 : 1;
  return a < b ? -1 : a > b ? 1 : 0;
}
