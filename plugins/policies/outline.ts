// The rules of a policy as the compiler's syntax tree tells them: their conditions, what these look at, and a second policy
// that says how far each rule came.

import { type Dialect, explainedRule } from '../wire/rego/policy-use.ts';
import type { PolicyRecord } from './record.ts';

type Explainer = NonNullable<PolicyRecord['explainer']>;
export type OutlinedRule = Explainer['rules'][number];
type Part = OutlinedRule['parts'][number];

/** Beyond these a policy is not explained condition by condition. */
const [maxRules, maxParts, maxPrefixes, maxText] = [64, 64, 512, 400];

interface Located {
  readonly location?: { readonly row?: number; readonly text?: string };
}
interface Term extends Located {
  readonly type?: string;
  readonly value?: unknown;
}
interface Expression extends Located {
  readonly terms?: unknown;
  readonly negated?: boolean;
  readonly generated?: boolean;
  readonly with?: unknown;
}
interface Rule extends Located {
  readonly default?: boolean;
  readonly head?: {
    readonly name?: string;
    readonly ref?: readonly Term[];
    readonly args?: unknown;
    readonly key?: unknown;
    readonly value?: Term;
  };
  readonly body?: readonly Expression[];
}

/** @param tree what `opa parse` says; anything else has no rules */
export function outlineOf(tree: unknown): OutlinedRule[] {
  const { rules } = (typeof tree === 'object' && tree !== null ? tree : {}) as { rules?: unknown };
  if (!Array.isArray(rules)) return [];
  const plain = (rules as Rule[]).filter(isPlain).slice(0, maxRules);
  const names = new Set(plain.map(nameOf));
  return plain.map((rule) => ({
    name: nameOf(rule),
    line: rule.location?.row ?? 0,
    answers: nameOf(rule) === 'allow' && rule.head?.value?.value !== false,
    parts: (rule.body ?? [])
      .filter(({ generated }) => generated !== true)
      .slice(0, maxParts)
      .map((expression) => partOf(expression, names)),
  }));
}

/** One that is or is not: no default, no function, no set or object. */
function isPlain({ default: isDefault, head, body }: Rule): boolean {
  return (
    isDefault !== true &&
    head?.args === undefined &&
    head?.key === undefined &&
    (head?.ref?.length ?? 1) === 1 &&
    Array.isArray(body)
  );
}

function nameOf({ head }: Rule): string {
  const [first] = head?.ref ?? [];
  return head?.name ?? (typeof first?.value === 'string' ? first.value : '');
}

function partOf(expression: Expression, names: ReadonlySet<string>): Part {
  const inputs: string[][] = [];
  findInputs(expression, inputs);
  const { terms } = expression;
  const single = Array.isArray(terms) ? undefined : (terms as Term | undefined);
  const called = Array.isArray(terms) ? pathOf(terms[0] as Term) : undefined;
  const function_ = called?.length === 1 && called[0]?.startsWith('requires_') ? called[0] : undefined;
  const argument = Array.isArray(terms) ? (terms[1] as Term | undefined) : undefined;
  const named = single === undefined ? undefined : pathOf(single)?.[0];
  return {
    line: expression.location?.row ?? 0,
    text: textOf(expression),
    inputs: inputs.slice(0, 8),
    ...(expression.negated === true && { negated: true }),
    ...(function_ !== undefined && { calls: function_ }),
    ...(function_ !== undefined && argument?.type === 'string' && { argument: String(argument.value) }),
    ...(named !== undefined && names.has(named) && expression.with === undefined && { rule: named }),
  };
}

/** Paths below `input` that have only names in them. */
function findInputs(value: unknown, found: string[][]): void {
  if (typeof value !== 'object' || value === null) return;
  if (Array.isArray(value)) {
    for (const item of value) findInputs(item, found);
    return;
  }
  const path = pathOf(value as Term);
  if (path?.[0] === 'input') {
    const key = path.slice(1);
    if (key.length > 0 && !found.some((other) => other.join('\0') === key.join('\0'))) found.push(key);
  } else for (const [name, item] of Object.entries(value)) if (name !== 'location') findInputs(item, found);
}

/** Names up to the first part that is none. */
function pathOf({ type, value }: Term): string[] | undefined {
  if (type === 'var') return typeof value === 'string' ? [value] : undefined;
  if (type !== 'ref' || !Array.isArray(value)) return undefined;
  const parts: string[] = [];
  for (const [index, part] of (value as Term[]).entries()) {
    if (typeof part.value !== 'string' || part.type !== (index === 0 ? 'var' : 'string')) break;
    parts.push(part.value);
  }
  return parts;
}

function textOf({ location }: Located): string {
  return Buffer.from(location?.text ?? '', 'base64').toString();
}

export interface Explaining {
  readonly source: string;
  /** The first line of each member. */
  readonly lines: readonly (readonly [member: string, line: number])[];
}

/**
 * The policy with one more rule: a set with a member for each rule and each of its first conditions that hold together, and
 * one for each condition that holds by itself.
 * Undefined if there is nothing to tell, or too much.
 * @param without members that can not be compiled: the first conditions of a rule may need the later ones
 */
export function explainingSource(
  policy: string,
  dialect: Dialect,
  rules: readonly OutlinedRule[],
  without: ReadonlySet<string>,
): Explaining | undefined {
  const members = rules.flatMap(({ parts, answers }, rule) => [
    ...parts.map((_, index) => ({ member: memberOf(rule, index + 1), parts: parts.slice(0, index + 1) })),
    // Each by itself as well, where it makes sense by itself.
    ...(answers ? parts.slice(1).map((part, index) => ({ member: aloneOf(rule, index + 1), parts: [part] })) : []),
  ]);
  const told = members.filter(({ member }) => !without.has(member));
  if (told.length === 0 || members.length > maxPrefixes || policy.includes(explainedRule)) return undefined;
  const lines: [string, number][] = [];
  let source = `${policy}\n`;
  let line = source.split('\n').length;
  for (const { member, parts } of told) {
    const body = parts.map(({ text }) => text).join('\n');
    const name = JSON.stringify(member);
    const rule =
      dialect === 'v1' ? `${explainedRule} contains ${name} if {\n${body}\n}\n` : `${explainedRule}[${name}] {\n${body}\n}\n`;
    lines.push([member, line]);
    source += rule;
    line += rule.split('\n').length - 1;
  }
  return { source, lines };
}

/** How a rule and the number of its conditions that hold are told. */
function memberOf(rule: number, count: number): string {
  return `${rule}/${count}`;
}

/** How a condition is told that holds by itself. */
function aloneOf(rule: number, index: number): string {
  return `${rule}=${index}`;
}

/**
 * Rules as they are kept: their texts cut to what a person reads.
 * @param without members that could not be compiled
 */
export function keptOutline(rules: readonly OutlinedRule[], without: ReadonlySet<string>): OutlinedRule[] {
  return rules.map((rule, index) => ({
    ...rule,
    parts: rule.parts.map((part, at) => ({
      ...part,
      text: part.text.replaceAll(/\s+/g, ' ').slice(0, maxText),
      ...(at > 0 && rule.answers && !without.has(aloneOf(index, at)) && { alone: true }),
    })),
  }));
}
