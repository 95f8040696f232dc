// Which rule of a policy allowed a request, or what was missing, in sentences for whoever asked.

import type { RequestFilter } from './worker-messages.ts';

export interface ExplainedPart {
  readonly line: number;
  readonly text: string;
  readonly inputs: readonly (readonly string[])[];
  readonly negated?: boolean;
  /** Whether it is also told when it holds by itself. */
  readonly alone?: boolean;
  readonly calls?: string;
  readonly argument?: string;
  readonly rule?: string;
}

export interface ExplainedRule {
  readonly name: string;
  readonly line: number;
  /** Whether it is one of those that allow. */
  readonly answers: boolean;
  readonly parts: readonly ExplainedPart[];
}

export interface Explained {
  readonly rules: readonly ExplainedRule[];
  /**
   * How far each rule came: `<rule>/<number of its first conditions that hold together>`, and `<rule>=<condition>` for a later one
   * that holds by itself.
   */
  readonly held: ReadonlySet<string>;
  /** What the policy looked at. */
  readonly document: unknown;
  readonly filter: RequestFilter;
}

/** Rules that are told of, the nearest first. */
const maxRules = 5;
const maxShown = 100;
/** What may be a secret is not repeated. */
const secret = /pass|secret|token|key|code|pin|credential/i;

export function explainAllowed({ rules, held }: Explained): string[] {
  const fitting = rules.filter(
    (rule, index) => rule.answers && (rule.parts.length === 0 || held.has(`${index}/${rule.parts.length}`)),
  );
  return fitting.map(({ line }) => `The rule at line ${line} allows it.`);
}

export function explainDenied(explained: Explained): string[] {
  const ranked = explained.rules
    .map((rule, index) => ({ rule, index, count: heldCount(explained, index) }))
    .filter(({ rule, count }) => rule.answers && count < rule.parts.length)
    .sort((a, b) => b.count - a.count || a.rule.parts.length - a.count - (b.rule.parts.length - b.count));
  if (ranked.length === 0) return ['The policy has no rule that could allow it.'];
  const told = ranked
    .slice(0, maxRules)
    .flatMap(({ rule, index, count }, rank) => [
      missing(explained, rule, count, 0),
      ...(rank === 0 ? alsoMissing(explained, index, count) : []),
    ]);
  const more = ranked.length - maxRules;
  return more > 0 ? [...told, `${more} more rules are further from allowing it.`] : told;
}

/** Later conditions of a rule that do not hold by themselves either, so that nobody finds them one after the other. */
function alsoMissing({ rules, held, document, filter }: Explained, index: number, count: number): string[] {
  const parts = rules[index]?.parts ?? [];
  return parts
    .slice(count + 1)
    .filter(
      (part, at) => part.alone && !held.has(`${index}=${count + 1 + at}`) && (part.inputs.length > 0 || part.calls !== undefined),
    )
    .slice(0, maxRules)
    .map((part) => `It also asks ${wanted(part, document, filter)}`);
}

/** Conditions may stand in any order in a rule, so the most that hold together count, from the first on. */
function heldCount({ rules, held }: Explained, index: number): number {
  const count = rules[index]?.parts.length ?? 0;
  let most = 0;
  for (let at = 1; at <= count; at += 1) if (held.has(`${index}/${at}`)) most = at;
  return most;
}

function missing(explained: Explained, { line: ruleLine, parts }: ExplainedRule, count: number, depth: number): string {
  const part = parts[count];
  if (!part) return `The rule at line ${ruleLine} does not fit.`;
  const asks = `The rule at line ${part.line} asks `;
  const helper = depth === 0 && part.rule !== undefined && !part.negated ? helperSentence(explained, part.rule) : undefined;
  if (helper !== undefined) return `${asks}for ${part.text}: ${lowerFirst(helper)}`;
  return asks + wanted(part, explained.document, explained.filter);
}

function wanted(part: ExplainedPart, document: unknown, filter: RequestFilter): string {
  if (part.calls !== undefined) return filterSentence(part, filter);
  const values = part.inputs.map((path) => valueSentence(document, path));
  const found = values.length === 0 ? 'that is not so' : `this request has ${joined(values)}`;
  return `for ${part.text}; ${found}.`;
}

/** Why another rule that is asked for does not hold: the one of its name that came nearest. */
function helperSentence(explained: Explained, name: string): string | undefined {
  const candidates = explained.rules
    .map((rule, index) => ({ rule, count: heldCount(explained, index) }))
    .filter(({ rule, count }) => rule.name === name && count < rule.parts.length)
    .sort((a, b) => b.count - a.count);
  const [nearest] = candidates;
  return nearest && missing(explained, nearest.rule, nearest.count, 1);
}

function filterSentence({ calls, argument = '…', negated, text }: ExplainedPart, filter: RequestFilter): string {
  if (negated) return `for a request without that filter (${text}).`;
  switch (calls) {
    case 'requires_filter':
      return 'for a filter (-F, -C, -I or -S); this request has none.';
    case 'requires_fact_filter':
      return `for a filter on the fact ${shown(argument)} (-F ${shown(argument)}); ${has(
        'fact filter',
        filter.fact.map((one) => `${one.fact}${one.operator}${one.value}`),
      )}.`;
    case 'requires_class_filter':
      return `for a filter on the class ${shown(argument)} (-C ${shown(argument)}); ${has('class filter', filter.cf_class)}.`;
    case 'requires_identity_filter':
      return `for a filter on the node ${shown(argument)} (-I ${shown(argument)}); ${has('identity filter', filter.identity)}.`;
    default:
      return `for ${text}; that is not so.`;
  }
}

function has(what: string, there: readonly string[]): string {
  return there.length === 0 ? `this request has no ${what}` : `this request has ${joined(there.slice(0, 5).map(shown))}`;
}

function valueSentence(document: unknown, path: readonly string[]): string {
  const name = `input.${path.join('.')}`;
  let value = document;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return `no ${name}`;
    value = (value as Record<string, unknown>)[key];
  }
  const isSecret = secret.test(path.at(-1) ?? '') || (path[0] === 'claims' && path[1] === 'opa_policy');
  return isSecret ? `another ${name}` : `${shown(JSON.stringify(value))} as ${name}`;
}

function joined(words: readonly string[]): string {
  return words.length < 2 ? (words[0] ?? '') : `${words.slice(0, -1).join(', ')} and ${words.at(-1)}`;
}

function lowerFirst(sentence: string): string {
  return sentence.charAt(0).toLowerCase() + sentence.slice(1);
}

/** What people and requests bring is cut and made harmless for a terminal. */
function shown(text: string): string {
  const plain = text.replaceAll(/\p{Cc}/gu, '�');
  return plain.length > maxShown ? `${plain.slice(0, maxShown)}…` : plain;
}
