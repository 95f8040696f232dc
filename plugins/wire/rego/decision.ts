// From what a policy answered to a decision: true allows, all else denies, with its reason.

import type { Evaluated } from './evaluator.ts';

export type DecisionError =
  | Extract<Evaluated, { ok: false }>['error']
  | 'not_boolean'
  | 'compile'
  | 'empty_policy'
  | 'bad_data'
  | 'too_large'
  | 'no_compiler';

export type PolicyDecision =
  | { readonly allowed: true; readonly reason: string }
  | { readonly allowed: false; readonly reason: string; readonly error?: DecisionError };

/** @param what the policy that answered, for the sentence */
export function decisionOf(evaluated: Evaluated, what: string): PolicyDecision {
  if (!evaluated.ok) return { allowed: false, error: evaluated.error, reason: `${what}: ${evaluated.reason}` };
  if (evaluated.value === true) return { allowed: true, reason: `${what} allows it` };
  if (evaluated.value === false) return { allowed: false, reason: `no rule of ${what} allows it` };
  return {
    allowed: false,
    error: 'not_boolean',
    reason: `${what} answers with ${kindOf(evaluated.value)} where it should say true or false`,
  };
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'an array or a set';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}
