// What is known of a value before an expression is evaluated. The distinctions are Go's, since nodes that run the original
// refuse what does not fit them: a list that holds anything is another type than a list of strings.

export type Type =
  /** Nothing is known, such as of a name that is not defined. */
  | { readonly kind: 'unknown' }
  /** Declared as anything, such as a fact. */
  | { readonly kind: 'any' }
  | { readonly kind: 'nil' | 'bool' | 'int' | 'float' | 'string' | 'bytes' | 'time' | 'duration' | 'zone' | 'month' | 'weekday' }
  /** `of` is the type as declared, `elem` what is known beyond. */
  | { readonly kind: 'list'; readonly of: 'any' | 'string' | 'int' | 'pair'; readonly elem: Type }
  | { readonly kind: 'map'; readonly of: string; readonly key: 'string' | 'any'; readonly elem: Type }
  | FunctionType;

export interface FunctionType {
  readonly kind: 'function';
  readonly params: readonly Type[];
  readonly result: Type;
}

export const unknown: Type = { kind: 'unknown' };
export const any: Type = { kind: 'any' };
export const nil: Type = { kind: 'nil' };
export const bool: Type = { kind: 'bool' };
export const int: Type = { kind: 'int' };
export const float: Type = { kind: 'float' };
export const string: Type = { kind: 'string' };
export const bytes: Type = { kind: 'bytes' };
export const time: Type = { kind: 'time' };
export const duration: Type = { kind: 'duration' };
export const zone: Type = { kind: 'zone' };
export const strings: Type = { kind: 'list', of: 'string', elem: string };
export const list: Type = { kind: 'list', of: 'any', elem: any };
export const map: Type = { kind: 'map', of: 'map[string]any', key: 'string', elem: any };
export const anyMap: Type = { kind: 'map', of: 'map[any]any', key: 'any', elem: any };

/** A list that may hold anything, of which more is known. */
export function listOf(elem: Type): Type {
  return { kind: 'list', of: 'any', elem };
}

export function fn(params: readonly Type[], result: Type): FunctionType {
  return { kind: 'function', params, result };
}

export function isUnknown({ kind }: Type): boolean {
  return kind === 'unknown' || kind === 'any';
}

export function isNumber({ kind }: Type): boolean {
  return kind === 'int' || kind === 'float';
}

export function isList({ kind }: Type): boolean {
  return kind === 'list' || kind === 'bytes';
}

export function elemOf(type: Type): Type {
  if (type.kind === 'list' || type.kind === 'map') return type.elem;
  return type.kind === 'bytes' ? int : unknown;
}

/** The coarse kind, by which elements of a list are held to be alike. */
export function coarse({ kind }: Type): string {
  if (kind === 'nil') return 'unknown';
  if (kind === 'bytes') return 'list';
  return kind === 'month' || kind === 'weekday' ? 'int' : kind;
}

/** Whether a value of the one type may stand where the other is declared. */
export function isAssignable(from: Type, to: Type): boolean {
  if (from.kind === 'nil') return ['any', 'list', 'bytes', 'map', 'function', 'zone'].includes(to.kind);
  if (from.kind === 'unknown' || to.kind === 'unknown') return false;
  if (to.kind === 'any') return true;
  if (from.kind !== to.kind) return false;
  if (from.kind === 'list' && to.kind === 'list') return from.of === to.of;
  if (from.kind === 'map' && to.kind === 'map') return from.of === to.of;
  return from.kind !== 'function' || from === to;
}

/** Whether `==` makes sense. */
export function isComparable(left: Type, right: Type): boolean {
  return (
    isUnknown(left) ||
    isUnknown(right) ||
    left.kind === 'nil' ||
    right.kind === 'nil' ||
    (isNumber(left) && isNumber(right)) ||
    (isList(left) && isList(right)) ||
    isAssignable(left, right)
  );
}

/** Kinds of types and values as people are told. */
export const kindWords: Readonly<Record<Type['kind'], string>> = {
  unknown: 'something unknown',
  any: 'anything',
  nil: 'nil',
  bool: 'true or false',
  int: 'a whole number',
  float: 'a number',
  string: 'a string',
  bytes: 'bytes',
  time: 'a time',
  duration: 'a duration',
  zone: 'a time zone',
  month: 'a month',
  weekday: 'a weekday',
  list: 'a list',
  map: 'an object',
  function: 'a function',
};

export function spellType(type: Type): string {
  return type.kind === 'list' && type.of === 'string' ? 'a list of strings only' : kindWords[type.kind];
}
