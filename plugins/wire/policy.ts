// Action policies in Choria's format: text to rules, and the decision for a request. Whatever is unclear denies.

import { FactError, matchFact, parseFactString } from './fact-string.ts';
import { matchClass } from './filter.ts';
import { compilePattern, patternSource } from './regexp.ts';

export interface PolicyRule {
  readonly line: number;
  readonly effect: 'allow' | 'deny';
  readonly callers: string;
  readonly actions: string;
  readonly facts: string;
  /** Undefined for a line of four columns; then a fitting rule denies. */
  readonly classes: string | undefined;
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

export function parsePolicy(text: string, { defaultAllow = false } = {}): Policy {
  const rules: PolicyRule[] = [];
  const warnings: string[] = [];
  let fallback = defaultAllow;
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const stated = /^policy default (\S+)$/.exec(line);
    if (stated) {
      fallback = stated[1] === 'allow';
      continue;
    }
    const [effect, callers, actions, facts, ...classes] = line.split(/\t+/);
    if ((effect !== 'allow' && effect !== 'deny') || callers === undefined || actions === undefined || facts === undefined) {
      warnings.push(`line ${index + 1} is no rule: use allow or deny, callers, actions, facts and classes, with tabs between`);
      continue;
    }
    rules.push({ line: index + 1, effect, callers, actions, facts, classes: classes.at(-1) });
  }
  return { rules, defaultAllow: fallback, warnings };
}

/** Groups of callers: a name and its members on each line. */
export function parseGroups(text: string): ReadonlyMap<string, readonly string[]> {
  const groups = new Map<string, readonly string[]>();
  for (const line of text.split('\n')) {
    const [name = '', ...members] = line.split(' ');
    if (/^[\w.-]+$/.test(name) && members.length > 0) groups.set(name, members);
  }
  return groups;
}

/** The first rule that fits decides. */
export function decide(policy: Policy, request: PolicyRequest): Decision {
  for (const rule of policy.rules) {
    if (!matchCallers(rule.callers, request) || !matchActions(rule.actions, request.action)) continue;
    if (rule.classes === undefined) return { allowed: false, reason: `line ${rule.line} has no column for classes` };
    if (isCompound(rule.facts) || isCompound(rule.classes)) {
      // A rule that can't be evaluated must not open anything: an allow is passed over, a deny stands.
      if (rule.effect === 'deny')
        return { allowed: false, reason: `line ${rule.line} denies, and its conditions are compound, which are not evaluated` };
      continue;
    }
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
  for (const entry of field.split(' ')) {
    if (entry === caller || groups.get(entry)?.includes(caller)) return true;
    const source = patternSource(entry);
    if (source === undefined) continue;
    const pattern = compilePattern(source);
    if (!pattern) return false;
    if (pattern.test(caller)) return true;
  }
  return false;
}

function matchActions(field: string, action: string): boolean {
  return field === '*' || field.split(' ').includes(action);
}

function isCompound(field: string): boolean {
  return field.split(' ').some((entry) => entry.startsWith('!') || /^(not|and|or)$/.test(entry) || /\(.*\)/.test(entry));
}

function matchConditions({ facts, classes = '' }: PolicyRule, request: PolicyRequest): boolean | string {
  if (facts !== '*') {
    for (const entry of facts.split(' ')) {
      const filter = parseFactString(entry);
      if (!filter) return `'${entry}' is no condition on a fact`;
      try {
        if (!matchFact(request.facts, filter)) return false;
      } catch (error) {
        if (error instanceof FactError) return error.message;
        throw error;
      }
    }
  }
  if (classes === '*') return true;
  for (const entry of classes.split(' ')) {
    if (parseFactString(entry)) return `'${entry}' is a condition on a fact in the column for classes`;
    if (!matchClass(entry, request.classes)) return false;
  }
  return true;
}
