// Policies as they are evaluated: prepared by the compiler, kept for the next request, evaluated in the thread for it, and
// explained where they deny.

import { type Host, PluginError } from '../../../core/sdk/typescript/index.ts';
import { type DecisionError, decisionOf, type PolicyDecision } from './decision.ts';
import { type CompiledPolicy, PolicyEvaluator } from './evaluator.ts';
import { type ExplainedRule, explainAllowed, explainDenied } from './explain.ts';
import type { Input } from './input.ts';
import type { PolicyUse } from './policy-use.ts';
import type { RequestFilter } from './worker-messages.ts';

type Prepared =
  | { readonly ok: true; readonly key: string; readonly module: Uint8Array }
  | { readonly ok: false; readonly error?: 'compile' | 'no_result'; readonly reason: string };

interface Explainer {
  readonly rules: readonly ExplainedRule[];
  readonly policy: CompiledPolicy | undefined;
}

export interface ExplainedDecision {
  readonly allowed: boolean;
  readonly error?: DecisionError;
  readonly reason: string;
  readonly explanation?: readonly string[];
}

/** Modules are 140 kB, and users of one role share one. */
const maxKept = 128;
/** Of what can't be used, before it is asked for again. */
const restMs = 5_000;
const compileMs = 25_000;
/** A denial waits no longer for its explanation. */
const explainMs = 2_000;

export class PreparedPolicies {
  readonly #host: Host;
  readonly #use: PolicyUse;
  readonly #what: string;
  readonly #share: boolean;
  readonly #evaluator = new PolicyEvaluator();
  readonly #prepared = new Map<string, Promise<Prepared>>();
  readonly #explainers = new Map<string, Promise<Explainer | undefined>>();

  /**
   * @param what how a policy is called in sentences
   * @param share whether other machines are to find what is compiled
   */
  constructor(host: Host, use: PolicyUse, what: string, share = true) {
    this.#share = share;
    this.#host = host;
    this.#use = use;
    this.#what = what;
  }

  /** @param explainAll whether it is also said what allows a request, for whoever has the time */
  async decide(policy: string, input: Input, filter: RequestFilter, explainAll = false): Promise<ExplainedDecision> {
    if (!input.ok) return { allowed: false, error: input.error, reason: input.reason, explanation: [sentence(input.reason)] };
    const prepared = await this.#prepare(policy);
    if (!prepared.ok) {
      const { reason, error = 'no_compiler' } = prepared;
      return { allowed: false, error, reason: `${this.#what}: ${reason}`, explanation: [sentence(reason)] };
    }
    const decision = decisionOf(await this.#evaluator.evaluate(prepared, input.text, filter), this.#what);
    if (decision.allowed && !explainAll) return decision;
    return { ...decision, explanation: await this.#explain(policy, decision, input.text, filter) };
  }

  close(): Promise<void> {
    return this.#evaluator.close();
  }

  #prepare(policy: string): Promise<Prepared> {
    const known = this.#prepared.get(policy);
    if (known) {
      // The most recent is the last to go.
      this.#prepared.delete(policy);
      this.#prepared.set(policy, known);
      return known;
    }
    const asked = this.#ask<Prepared>('policy/prepare', policy, compileMs).catch((error: Error): Prepared => {
      const reason =
        error instanceof PluginError && error.code === 'NOT_FOUND'
          ? `there is no compiler of policies: ${error.message}`
          : `the compiler of policies failed: ${error.message}`;
      return { ok: false, reason };
    });
    keep(this.#prepared, policy, asked);
    void asked.then(({ ok }) => !ok && setTimeout(() => this.#prepared.delete(policy), restMs).unref());
    return asked;
  }

  async #explain(policy: string, decision: PolicyDecision, document: string, filter: RequestFilter): Promise<string[]> {
    const plain = [sentence(decision.reason)];
    // Without a default, a policy says nothing where no rule fits.
    if (!decision.allowed && decision.error !== undefined && decision.error !== 'no_result') return plain;
    try {
      const explainer = await this.#explainer(policy);
      if (!explainer?.policy) return plain;
      const held = await this.#evaluator.evaluate(explainer.policy, document, filter);
      if (!held.ok || !Array.isArray(held.value)) return plain;
      const told = {
        rules: explainer.rules,
        held: new Set<string>(held.value),
        document: JSON.parse(document) as unknown,
        filter,
      };
      const sentences = decision.allowed ? explainAllowed(told) : explainDenied(told);
      return sentences.length > 0 ? sentences : plain;
    } catch (error) {
      this.#host.log.debug(`a decision was not explained: ${(error as Error).message}`);
      return plain;
    }
  }

  #explainer(policy: string): Promise<Explainer | undefined> {
    const known = this.#explainers.get(policy);
    if (known) return known;
    const asked = this.#askExplainer(policy).catch(() => undefined);
    keep(this.#explainers, policy, asked);
    void asked.then((found) => found || setTimeout(() => this.#explainers.delete(policy), restMs).unref());
    return asked;
  }

  async #askExplainer(policy: string): Promise<Explainer | undefined> {
    const answer = await this.#ask<{ ok: boolean; key: string; rules: readonly ExplainedRule[]; module?: Uint8Array }>(
      'policy/explainer',
      policy,
      explainMs,
    );
    if (!answer.ok) return undefined;
    return { rules: answer.rules, policy: answer.module && { key: answer.key, module: answer.module } };
  }

  async #ask<T>(method: string, policy: string, deadlineMs: number): Promise<T> {
    return (await this.#host.plugins.call(
      'policy-compiler',
      'opa',
      method,
      { policy, use: this.#use, share: this.#share },
      { deadlineMs },
    )) as T;
  }
}

function keep<T>(map: Map<string, T>, key: string, value: T): void {
  map.set(key, value);
  const [oldest] = map.keys();
  if (map.size > maxKept && oldest !== undefined) map.delete(oldest);
}

function sentence(text: string): string {
  const whole = text.charAt(0).toUpperCase() + text.slice(1);
  return whole.endsWith('.') ? whole : `${whole}.`;
}
