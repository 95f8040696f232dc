// Tables of cases: read, and held against a policy.

import { readFileSync } from 'node:fs';
import { LineCounter, parseDocument } from 'yaml';
import { type PolicyCases, validate } from '#schemas/muster/policy/v1/cases';
import { buildFilter } from '../wire/filter.ts';
import { nodeInput, tokenInput } from '../wire/rego/input.ts';
import type { PolicyUse } from '../wire/rego/policy-use.ts';
import type { ExplainedDecision, PreparedPolicies } from '../wire/rego/prepared.ts';
import { requestFilter } from '../wire/rego/request-filter.ts';
import { PolicyCommandError } from './errors.ts';

export type PolicyCase = PolicyCases['cases'][number];

export interface CaseOutcome {
  readonly name: string;
  readonly passed: boolean;
  readonly expected: boolean;
  readonly decision: ExplainedDecision;
}

/** @throws PolicyCommandError that names the case */
export function readCases(file: string): readonly PolicyCase[] {
  const lines = new LineCounter();
  const document = parseDocument(read(file), { lineCounter: lines });
  const [syntax] = document.errors;
  if (syntax)
    throw new PolicyCommandError(
      `the table of cases ${file} can not be read in line ${syntax.linePos?.[0].line ?? 1}: ${syntax.message.split('\n')[0]}`,
    );
  const value: unknown = document.toJS({ maxAliasCount: 100 });
  if (validate(value)) {
    for (const one of value.cases) checkFilter(file, one);
    return value.cases;
  }
  const [error] = validate.errors ?? [];
  const [, member = '', index, ...inside] = error?.instancePath.split('/') ?? [];
  const path = index === undefined ? [member] : inside;
  const name = index === undefined ? undefined : (value as { cases?: { name?: unknown }[] }).cases?.[Number(index)]?.name;
  const where = index === undefined ? '' : ` case ${Number(index) + 1}${typeof name === 'string' ? ` (${name})` : ''}:`;
  const extra = error?.keyword === 'additionalProperties' ? `: ${String(error.params.additionalProperty)}` : '';
  throw new PolicyCommandError(`${file}:${where} ${path.join('.') || 'it'} ${error?.message ?? 'is not valid'}${extra}`);
}

function checkFilter(file: string, { name, filter = {} }: PolicyCase): void {
  try {
    buildFilter(filter);
  } catch (error) {
    throw new PolicyCommandError(`${file}: case '${name}': ${(error as Error).message}`);
  }
}

/** @throws PolicyCommandError */
export function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new PolicyCommandError(`${file} can not be read: ${(error as Error).message}`);
  }
}

export async function runCase(policies: PreparedPolicies, policy: string, use: PolicyUse, one: PolicyCase): Promise<CaseOutcome> {
  const { time, caller = 'up=somebody', provision_mode: provisionMode, data, ...others } = one.input;
  // Whoever writes a case need not write what most requests have.
  const request = { ...others, caller, data: data === undefined ? {} : data, ...(time !== undefined && { timeText: time }) };
  const claims = { callerid: caller, ...one.claims, opa_policy: policy };
  const input =
    use === 'node'
      ? nodeInput({ ...request, ...(provisionMode !== undefined && { provisionMode }) })
      : tokenInput({ ...request, claims });
  const decision = await policies.decide(policy, input, requestFilter(buildFilter(one.filter ?? {})), true);
  return {
    name: one.name,
    passed: decision.allowed === one.allow && isDecided(decision),
    expected: one.allow,
    decision,
  };
}

/** Whether the policy gave an answer. Without a default it says nothing where no rule fits, which denies. */
export function isDecided({ error }: ExplainedDecision): boolean {
  return error === undefined || error === 'no_result';
}
