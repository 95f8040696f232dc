// `muster policy explain`: one request, put together from flags, held against a policy, a token or a list of actions.

import { type Host, printable } from '../../core/sdk/typescript/index.ts';
import { decideByList, explainList } from '../wire/action-list.ts';
import { buildFilter } from '../wire/filter.ts';
import { type NodeRequest, nodeInput, tokenInput } from '../wire/rego/input.ts';
import type { ExplainedDecision, PreparedPolicies } from '../wire/rego/prepared.ts';
import { requestFilter } from '../wire/rego/request-filter.ts';
import { readUnverified } from '../wire/tokens/jwt.ts';
import { isDecided, read } from './cases.ts';
import { PolicyCommandError } from './errors.ts';

export interface ExplainOptions {
  readonly agent?: string;
  readonly action?: string;
  readonly wf?: readonly string[];
  readonly wc?: readonly string[];
  readonly wi?: readonly string[];
  readonly select?: string;
  readonly claims?: string;
  readonly token?: string;
  readonly agents?: string;
  readonly target?: string;
  readonly sender?: string;
  readonly ttl?: number;
  readonly time?: string;
  readonly site?: string;
  readonly facts?: string;
  readonly classes?: string;
  readonly caller?: string;
  readonly node?: boolean;
  readonly json?: boolean;
}

interface Given {
  readonly policy?: string;
  readonly data?: readonly string[];
}

type Claims = Readonly<Record<string, unknown>>;

const defaultTtl = 60;

export async function explain(
  host: Host,
  policies: PreparedPolicies,
  given: Given,
  options: ExplainOptions,
): Promise<{ exitCode: number }> {
  const { agent, action, node = false } = options;
  if (agent === undefined || action === undefined)
    throw new PolicyCommandError('name what is asked with --agent and --action, such as --agent webstack --action status');
  const { policy, claims, words } = await whatDecides(given, options);
  const request = requestOf(agent, action, words, options);
  const list = claims.agents;
  const decision =
    policy === undefined && Array.isArray(list)
      ? byList(list.map(String), agent, action)
      : await byPolicy(policies, policy, claims, request, node, options);
  if (options.json) await host.terminal.write(`${JSON.stringify(decision, null, 2)}\n`);
  else {
    const sentences = decision.explanation ?? [];
    const lines = isDecided(decision) ? sentences : [decision.reason];
    await host.terminal.write(`${decision.allowed ? 'Allowed' : 'Denied'}: ${agent}#${action}\n`);
    await host.terminal.write(lines.map((line) => `  ${printable(line)}\n`).join(''));
  }
  return { exitCode: decision.allowed ? 0 : 1 };
}

/** The policy, or the claims with a list; and what of the words on the command line is input. */
async function whatDecides(
  { policy: first, data = [] }: Given,
  { token, agents, claims: claimsFile, node = false }: ExplainOptions,
): Promise<{ policy: string | undefined; claims: Claims; words: readonly string[] }> {
  const words = first === undefined ? data : [first, ...data];
  const claims = claimsFile === undefined ? {} : objectIn(claimsFile);
  if (token !== undefined) {
    const own: Claims = await readUnverified(read(token));
    const { opa_policy: policy } = own;
    const hasList = Array.isArray(own.agents) && own.agents.length > 0;
    const hasPolicy = typeof policy === 'string' && policy !== '';
    if (hasList === hasPolicy)
      throw new PolicyCommandError(
        `${token} has ${hasList ? 'both' : 'neither'} a list of actions ${hasList ? 'and' : 'nor'} a policy`,
      );
    return { policy: hasPolicy ? policy : undefined, claims: { ...own, ...claims }, words };
  }
  if (agents !== undefined)
    return { policy: undefined, claims: { ...claims, agents: agents.split(',').filter((entry) => entry !== '') }, words };
  if (first === undefined) throw new PolicyCommandError('name a policy, or --token, or --agents');
  const policy = read(first);
  return { policy, claims: node ? claims : { callerid: 'up=somebody', ...claims, opa_policy: policy }, words: data };
}

function byList(list: readonly string[], agent: string, action: string): ExplainedDecision {
  const verdict = decideByList(list, agent, action);
  return { allowed: verdict.allowed, reason: verdict.reason, explanation: explainList(list, agent, verdict) };
}

function byPolicy(
  policies: PreparedPolicies,
  policy: string | undefined,
  claims: Claims,
  request: NodeRequest,
  node: boolean,
  { wf = [], wc = [], wi = [], select }: ExplainOptions,
): Promise<ExplainedDecision> {
  const filter = buildFilter({ facts: wf, classes: wc, identities: wi, ...(select !== undefined && { compound: select }) });
  const input = node ? nodeInput(request) : tokenInput({ ...request, claims });
  return policies.decide(policy ?? '', input, requestFilter(filter), true);
}

function requestOf(agent: string, action: string, words: readonly string[], options: ExplainOptions): NodeRequest {
  const { target = 'mcollective', sender = 'localhost', ttl = defaultTtl, site = 'default', caller = 'up=somebody' } = options;
  const { time = new Date().toISOString().replace(/\.\d+Z$/, 'Z'), facts, classes } = options;
  return {
    ...{ agent, action, sender, ttl, site, caller },
    collective: target,
    timeText: time,
    data: Object.fromEntries(words.map(inputOf)),
    facts: facts === undefined ? {} : objectIn(facts),
    classes: classes?.split(',') ?? [],
  };
}

/** `key=value`. What is JSON counts as that, so that a number is one; `key="3"` is text. @throws PolicyCommandError */
function inputOf(word: string): [string, unknown] {
  const at = word.indexOf('=');
  if (at < 1) throw new PolicyCommandError(`'${word}' is no input; inputs are written as key=value`);
  const value = word.slice(at + 1);
  try {
    return [word.slice(0, at), JSON.parse(value)];
  } catch {
    return [word.slice(0, at), value];
  }
}

function objectIn(file: string): Claims {
  let value: unknown;
  try {
    value = JSON.parse(read(file));
  } catch (error) {
    if (error instanceof PolicyCommandError) throw error;
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Claims;
  throw new PolicyCommandError(`${file} must hold a JSON object`);
}
