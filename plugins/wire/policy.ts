// Action policies in Choria's format: text to rules, and the decision for a request. Whatever is unclear denies.

import { RE2JS } from 're2js';
import { type FactFilter, parseFactString } from './fact-string.ts';
import { matchClass, matchFacts } from './filter.ts';
import { compilePattern } from './regexp.ts';

export interface PolicyRule {
  readonly line: number;
  readonly effect: 'allow' | 'deny';
  readonly callers: string;
  readonly actions: string;
  readonly facts: string;
  /** Empty for a line of four columns; where callers and actions fit, it denies. */
  readonly classes: string;
}

export interface Policy {
  readonly rules: readonly PolicyRule[];
  readonly defaultAllow: boolean;
  /** Lines that could not be read, each in a sentence. */
  readonly warnings: readonly string[];
}

export interface PolicyRequest {
  readonly caller: string;
  readonly action: string;
  readonly facts: unknown;
  readonly classes: readonly string[];
  readonly groups: ReadonlyMap<string, readonly string[]>;
}

export interface Decision {
  readonly allowed: boolean;
  readonly reason: string;
}

/** A rule as Choria's servers read it: what stands last in a line with more columns is the classes. */
const rulePattern = RE2JS.compile('^(allow|deny)\\t+(.+?)\\t+(.+?)\\t+(.+?)(\\t+(.+?))*$');

export function parsePolicy(text: string, { defaultAllow = false } = {}): Policy {
  const rules: PolicyRule[] = [];
  const warnings: string[] = [];
  let fallback = defaultAllow;
  for (const { line, number } of linesOf(text)) {
    const stated = /^policy[\t\f\r ]+default[\t\f\r ]+(\w+)/.exec(line);
    if (stated) {
      fallback = stated[1] === 'allow';
      continue;
    }
    const rule = readRule(line, number);
    if (typeof rule === 'string') warnings.push(`line ${number} ${rule}`);
    else rules.push(rule);
  }
  return { rules, defaultAllow: fallback, warnings };
}

/** @returns the rule, or why the line counts for nothing */
function readRule(line: string, number: number): PolicyRule | string {
  const columns = rulePattern.matcher(line);
  if (!columns.find()) return 'is no rule: use allow or deny, callers, actions, facts and classes, with tabs between';
  const [effect, callers, actions, facts, classes] = [1, 2, 3, 4, 6].map((group) => columns.group(group) ?? '');
  const rule = { callers: callers ?? '', actions: actions ?? '', facts: facts ?? '', classes: classes ?? '' };
  if (isCompound(rule.facts) || isCompound(rule.classes))
    return `is passed over, also if it denies: compound statements (!, not, and, or, parentheses) are not evaluated`;
  return { line: number, effect: effect === 'allow' ? 'allow' : 'deny', ...rule };
}

export interface Groups {
  readonly members: ReadonlyMap<string, readonly string[]>;
  readonly warnings: readonly string[];
}

/** Groups of callers: a name and its members on each line, with single blanks between. */
export function parseGroups(text: string): Groups {
  const members = new Map<string, readonly string[]>();
  const warnings: string[] = [];
  for (const { line, number } of linesOf(text)) {
    const [name = '', ...others] = line.split(' ');
    if (/^[\w.-]+$/.test(name) && others.length > 0) members.set(name, others);
    else warnings.push(`line ${number} is no group: write its name, and its members with single blanks between`);
  }
  return { members, warnings };
}

/** Lines that say something, without the end that editors on Windows give them. */
function* linesOf(text: string): Generator<{ line: string; number: number }> {
  for (const [index, whole] of text.split('\n').entries()) {
    const line = whole.replace(/\r$/, '');
    if (!/^(#.*|[\t\f\r ]*)$/.test(line)) yield { line, number: index + 1 };
  }
}

/** The first rule that fits decides. */
export function decide(policy: Policy, request: PolicyRequest): Decision {
  for (const rule of policy.rules) {
    if (!matchCallers(rule.callers, request) || !matchActions(rule.actions, request.action)) continue;
    const fits = matchConditions(rule, request);
    if (typeof fits === 'string') return { allowed: false, reason: `line ${rule.line}: ${fits}` };
    if (fits)
      return {
        allowed: rule.effect === 'allow',
        reason: `line ${rule.line} ${rule.effect === 'allow' ? 'allows' : 'denies'} it`,
      };
  }
  return {
    allowed: policy.defaultAllow,
    reason: `no rule fits, and the policy's default ${policy.defaultAllow ? 'allows' : 'denies'}`,
  };
}

function matchCallers(field: string, { caller, groups }: PolicyRequest): boolean {
  if (field === '*') return true;
  const entries = field.split(' ');
  if (entries.some((entry) => groups.get(entry)?.includes(caller))) return true;
  for (const entry of entries) {
    if (entry === caller) return true;
    if (!entry.startsWith('/')) continue;
    // A pattern that can't be read ends the line, for what it should have kept out is not known.
    const source = /^\/(.+)\/$/.exec(entry)?.[1];
    const pattern = source === undefined ? undefined : compilePattern(source);
    if (!pattern) return false;
    if (pattern.test(caller)) return true;
  }
  return false;
}

function matchActions(field: string, action: string): boolean {
  return field === '*' || field.split(' ').includes(action);
}

function isCompound(field: string): boolean {
  return field.split(' ').some((entry) => /^!|^(not|and|or)$|\(.+\)/.test(entry));
}

/** @returns whether both fit, or what can't be read, which denies whatever the other says */
function matchConditions({ facts, classes }: PolicyRule, request: PolicyRequest): boolean | string {
  const filters: FactFilter[] = [];
  for (const entry of facts === '*' ? [] : facts.split(' ')) {
    const filter = parseFactString(entry);
    if (!filter) return `'${entry}' is no condition on a fact`;
    filters.push(filter);
  }
  if (classes === '') return 'it has no column for classes';
  const names = classes === '*' ? [] : classes.split(' ');
  const strange = names.find((entry) => /.[<>=]./.test(entry));
  if (strange !== undefined) return `'${strange}' is a condition on a fact in the column for classes`;
  return matchFacts(filters, request.facts) && names.every((name) => matchClass(name, request.classes));
}
