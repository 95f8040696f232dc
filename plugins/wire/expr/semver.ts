// Versions and constraints by the rules of Masterminds' semver, which is looser than the standard: `1.2`, `v1`, `1.x`.

import { fail } from './values.ts';

export interface Version {
  readonly major: bigint;
  readonly minor: bigint;
  readonly patch: bigint;
  readonly pre: string;
}

const maxVersionLength = 256;
const maxConstraintLength = 512;
const maxGroups = 32;

const versionPattern = /^v?(\d+)(\.\d+)?(\.\d+)?(?:-([\dA-Za-z-]+(?:\.[\dA-Za-z-]+)*))?(?:\+[\dA-Za-z-]+(?:\.[\dA-Za-z-]+)*)?$/;
const wildVersion =
  'v?[\\d|xX*]+(?:\\.[\\d|xX*]+)?(?:\\.[\\d|xX*]+)?(?:-[\\dA-Za-z-]+(?:\\.[\\dA-Za-z-]+)*)?(?:\\+[\\dA-Za-z-]+(?:\\.[\\dA-Za-z-]+)*)?';
const wildParts = /^v?([\d|xX*]+)(\.[\d|xX*]+)?(\.[\d|xX*]+)?(-[\dA-Za-z-]+(?:\.[\dA-Za-z-]+)*)?/;
const hyphenRange = new RegExp(
  `[\\t\\n\\f\\r ]*(${wildVersion})[\\t\\n\\f\\r ]+-[\\t\\n\\f\\r ]+(${wildVersion})[\\t\\n\\f\\r ]*`,
  'g',
);
const item = new RegExp(`[\\t\\n\\f\\r ]*(>=|=>|<=|=<|~>|!=|[=<>~^])?[\\t\\n\\f\\r ]*(${wildVersion})`, 'y');
const separator = /[\t\n\f\r ]*,?/y;
const maxSegment = 2n ** 64n - 1n;

/** Whether a version fulfils a constraint. @throws ExprError if either can't be read */
export function satisfies(version: string, constraint: string): boolean {
  const groups = parseConstraint(constraint);
  const parsed = parseVersion(version) ?? fail(`'${version.slice(0, 64)}' is no version`);
  // Pre-releases count only where the constraint names one.
  return groups.some(
    (group) => (parsed.pre === '' || group.some(({ than }) => than.pre !== '')) && group.every((one) => holds(parsed, one)),
  );
}

export function parseVersion(text: string): Version | undefined {
  const found = text.length > maxVersionLength ? undefined : versionPattern.exec(text);
  if (!found) return undefined;
  const [, first = '', second = '.0', third = '.0', pre = ''] = found;
  const [major = 0n, minor = 0n, patch = 0n] = [first, second.slice(1), third.slice(1)].map(BigInt);
  const hasLeadingZero = pre.split('.').some((part) => /^0\d+$/.test(part));
  return hasLeadingZero || [major, minor, patch].some((part) => part > maxSegment) ? undefined : { major, minor, patch, pre };
}

interface Constraint {
  readonly operator: string;
  readonly than: Version;
  /** Parts that were left out or written as x. `any` is the first of them, and then the others are not told. */
  readonly open: 'none' | 'any' | 'minor' | 'patch';
}

/** Alternatives, each of constraints that all have to hold. */
function parseConstraint(text: string): Constraint[][] {
  const wrong = () => fail(`'${text.slice(0, 64)}' is no constraint of versions; write it like '>= 1.4, < 2'`);
  if (Buffer.byteLength(text) > maxConstraintLength) return wrong();
  const groups = text.replace(hyphenRange, '>= $1, <= $2 ').split('||');
  if (groups.length > maxGroups) return wrong();
  return groups.map((group) => parseGroup(group) ?? wrong());
}

function parseGroup(group: string): Constraint[] | undefined {
  const found: Constraint[] = [];
  let at = 0;
  do {
    item.lastIndex = at;
    const match = item.exec(group);
    const constraint = match && parseOne(match[1] ?? '', match[2] ?? '');
    if (!constraint) return undefined;
    found.push(constraint);
    separator.lastIndex = item.lastIndex;
    const between = separator.exec(group)?.[0] ?? '';
    at = separator.lastIndex;
    if (at === group.length) return between.includes(',') ? undefined : found;
    if (between === '') return undefined;
  } while (at < group.length);
  return undefined;
}

function parseOne(operator: string, text: string): Constraint | undefined {
  const [, first = '', second = '', third = '', pre = ''] = wildParts.exec(text) ?? [];
  const isOpen = (part: string) => ['', 'x', 'X', '*'].includes(part.replace('.', ''));
  const open = isOpen(first) ? 'any' : isOpen(second) ? 'minor' : isOpen(third) ? 'patch' : 'none';
  const written = { any: `0.0.0${pre}`, minor: `${first}.0.0${pre}`, patch: `${first}${second}.0${pre}`, none: text }[open];
  const than = parseVersion(written);
  return than && { operator, than, open };
}

function holds(version: Version, { operator, than, open }: Constraint): boolean {
  const order = compareVersions(version, than);
  switch (operator) {
    case '!=':
      return differs(version, than, open);
    case '>':
      return isAbove(version, than, open, order);
    case '<':
      return order < 0;
    case '>=':
    case '=>':
      return order >= 0;
    case '<=':
    case '=<':
      if (open === 'none') return order <= 0;
      return version.major < than.major || (version.major === than.major && (version.minor <= than.minor || open === 'minor'));
    case '~':
    case '~>':
      return isNear(version, than, open, order);
    case '^':
      return isCompatible(version, than, open, order);
    default:
      return open === 'none' ? order === 0 : isNear(version, than, open, order);
  }
}

function differs(version: Version, than: Version, open: Constraint['open']): boolean {
  if (open !== 'none') {
    if (version.major !== than.major) return true;
    if (version.minor !== than.minor && open !== 'minor') return true;
    if (open === 'minor') return false;
    if (version.patch !== than.patch && open !== 'patch') return true;
    if (open === 'patch') return comparePre(version.pre, than.pre) !== 0;
  }
  return compareVersions(version, than) !== 0;
}

function isAbove(version: Version, than: Version, open: Constraint['open'], order: number): boolean {
  if (open === 'none' || version.major !== than.major) return open === 'none' ? order > 0 : version.major > than.major;
  if (open === 'minor') return false;
  return open === 'patch' ? version.minor > than.minor : order > 0;
}

/** `~1.2`: the last part that is given may grow. */
function isNear(version: Version, than: Version, open: Constraint['open'], order: number): boolean {
  if (order < 0) return false;
  if (than.major === 0n && than.minor === 0n && than.patch === 0n && open !== 'minor' && open !== 'patch') return true;
  return version.major === than.major && (version.minor === than.minor || open === 'minor');
}

/** `^1.2`: what leaves the first part that is not zero. */
function isCompatible(version: Version, than: Version, open: Constraint['open'], order: number): boolean {
  if (order < 0) return false;
  if (than.major > 0n || open === 'minor') return version.major === than.major;
  if (version.major > 0n) return false;
  if (than.minor > 0n || open === 'patch') return version.minor === than.minor;
  return version.minor === 0n && version.patch === than.patch;
}

function compareVersions(a: Version, b: Version): number {
  for (const part of ['major', 'minor', 'patch'] as const) if (a[part] !== b[part]) return a[part] < b[part] ? -1 : 1;
  return comparePre(a.pre, b.pre);
}

/** A version is above its pre-releases. */
function comparePre(a: string, b: string): number {
  if (a === b) return 0;
  if (a === '' || b === '') return a === '' ? 1 : -1;
  const [mine, others] = [a.split('.'), b.split('.')];
  for (let index = 0; index < Math.max(mine.length, others.length); index += 1) {
    const order = comparePart(mine[index], others[index]);
    if (order !== 0) return order;
  }
  return 0;
}

function comparePart(a: string | undefined, b: string | undefined): number {
  if (a === b) return 0;
  if (a === undefined || b === undefined) return a === undefined ? -1 : 1;
  const [isNumber, otherIsNumber] = [isSmallNumber(a), isSmallNumber(b)];
  if (isNumber && otherIsNumber) return BigInt(a) < BigInt(b) ? -1 : BigInt(a) > BigInt(b) ? 1 : 0;
  if (isNumber !== otherIsNumber) return isNumber ? -1 : 1;
  return a < b ? -1 : 1;
}

function isSmallNumber(part: string): boolean {
  return /^\d+$/.test(part) && BigInt(part) <= maxSegment;
}
