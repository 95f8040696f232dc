// The compiler of policies: what was made before counts, wherever it is; the rest is compiled once.

import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { definePlugin, type Host } from '../../core/sdk/typescript/index.ts';
import { moduleKey, sourceKey } from '../wire/rego/policy-use.ts';
import { makeExplainer } from './explainer.ts';
import { Folder, Memory } from './kept.ts';
import { Numbers } from './numbers.ts';
import { CompilerError, Opa } from './opa.ts';
import { explainerOf, moduleOf, type PolicyRecord, packModule, type Wanted } from './record.ts';
import { Shared, type SharedConfig } from './shared.ts';

interface Config extends SharedConfig {
  readonly 'plugin.muster.opa': string;
  readonly 'plugin.muster.policies.prepared'?: string;
}

interface Params extends Wanted {
  /** Whether others are to find what is made. */
  readonly share?: boolean;
}

type Found = { readonly record: PolicyRecord } | { readonly problem: string };

/** Compilers that run at once, and policies that may wait for one. */
const [maxRunning, maxWaiting] = [2, 64];
/** Before a compiler that failed is asked again about the same policy. */
const restMs = 10_000;
const maxProblems = 1_024;

export default definePlugin({
  kind: 'policy-compiler',
  version: '1.0.0',
  create: (host) => {
    const policies = new Policies(host);
    return {
      methods: {
        'policy/prepare': (params: Params) => policies.prepare(params),
        'policy/explainer': (params: Params) => policies.explainer(params),
        'policy/record': (params: Params) => policies.record(params),
      },
      activate: () => policies.start(),
    };
  },
});

class Policies {
  readonly #host: Host;
  readonly #opa: Opa;
  readonly #numbers: Numbers;
  readonly #memory = new Memory();
  readonly #kept: Folder;
  readonly #prepared: readonly Folder[];
  readonly #shared: Shared;
  readonly #underway = new Map<string, Promise<Found>>();
  readonly #explaining = new Map<string, Promise<PolicyRecord>>();
  readonly #problems = new Map<string, { readonly problem: string; readonly until: number }>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(host: Host) {
    this.#host = host;
    const config = host.config as unknown as Config;
    const state = host.stateFolder ?? '.';
    const onBad = (file: string, problem: string) => host.log.error(`${file} is not used as a compiled policy: ${problem}`);
    this.#opa = new Opa(host, config['plugin.muster.opa'], join(state, 'work'));
    this.#numbers = new Numbers(host);
    this.#kept = new Folder(join(state, 'compiled'), onBad);
    const own = fileURLToPath(new URL('./prepared', import.meta.url));
    const prepared = config['plugin.muster.policies.prepared'];
    this.#prepared = [...(prepared === undefined ? [] : [prepared]), own].map((path) => new Folder(path, onBad));
    this.#shared = new Shared(host, config);
  }

  async start(): Promise<void> {
    this.#kept.prune();
    await this.#numbers.start();
  }

  async prepare(params: Params): Promise<object> {
    const found = await this.#find(params);
    if ('problem' in found) return { ok: false, reason: found.problem };
    const { result } = found.record;
    if (!result.ok) return { ok: false, error: result.error, reason: `the policy can not be compiled: ${result.reason}` };
    return { ok: true, key: result.key, module: moduleOf(result) };
  }

  async explainer(params: Params): Promise<object> {
    const found = await this.#find(params);
    if ('problem' in found) return { ok: false, reason: found.problem };
    const { result } = found.record;
    if (!result.ok) return { ok: false, reason: `the policy can not be compiled: ${result.reason}` };
    const { explainer } = await this.#explained(params, found.record);
    if (!explainer) return { ok: false, reason: 'there is no compiler here, and what was prepared does not explain itself' };
    const module = explainerOf(explainer);
    return { ok: true, key: `${result.key}-explainer`, rules: explainer.rules, ...(module && { module }) };
  }

  /** All of it, for files that are prepared. */
  async record(params: Params): Promise<object> {
    const found = await this.#find(params);
    if ('problem' in found) return { ok: false, reason: found.problem };
    const record = await this.#explained(params, found.record);
    if (!record.result.ok) return { ok: false, error: record.result.error, reason: record.result.reason };
    return { ok: true, key: sourceKey(params.policy, params.use), record: JSON.stringify(record) };
  }

  #find(params: Params): Promise<Found> {
    const key = sourceKey(params.policy, params.use);
    const underway = this.#underway.get(key);
    if (underway) return underway;
    const kept = this.#memory.get(key);
    if (kept) return Promise.resolve({ record: kept });
    const finding = this.#look(key, params).finally(() => this.#underway.delete(key));
    this.#underway.set(key, finding);
    return finding;
  }

  async #look(key: string, params: Params): Promise<Found> {
    if (params.policy.trim() === '') return { problem: 'the policy is empty' };
    const before = this.#problems.get(key);
    if (before && Date.now() < before.until) return { problem: before.problem };
    const found = await this.#lookUp(params);
    if (found) {
      this.#memory.set(key, found);
      return { record: found };
    }
    try {
      const record = await this.#compile(params);
      this.#keep(key, params, record);
      // Others get it once, with what explains it.
      if (record.result.ok) void this.#explained(params, record).then((whole) => this.#sharePolicy(params, whole));
      return { record };
    } catch (error) {
      const problem =
        error instanceof CompilerError ? error.message : `the policy could not be compiled: ${(error as Error).message}`;
      return this.#remember(key, problem);
    }
  }

  /** Files, then the store; what another compiler made counts only where there is none, or it is the same. */
  async #lookUp(params: Params): Promise<PolicyRecord | undefined> {
    const version = await this.#opa.version().catch((error: Error) => {
      this.#host.log.warn(error.message);
      return undefined;
    });
    const fits = (record: PolicyRecord | undefined) =>
      record && (version === undefined || record.compiler === version) ? record : undefined;
    const local = fits(this.#kept.get(params)) ?? this.#prepared.map((folder) => fits(folder.get(params))).find(Boolean);
    if (local) return this.#numbers.found('file', local);
    // A compiler at hand is quicker than a broker.
    if (version !== undefined || params.use === 'node') return undefined;
    const shared = await this.#shared.get(params);
    if (!shared) return undefined;
    this.#write(params, shared);
    return this.#numbers.found('store', shared);
  }

  async #compile(params: Params): Promise<PolicyRecord> {
    const { policy, use } = params;
    const compiler = await this.#opa.version();
    if (compiler === undefined)
      throw new CompilerError(
        'POLICY_NO_COMPILER',
        `nobody has compiled this policy (${sourceKey(policy, use).slice(0, 12)}) and there is no compiler here: install opa, name it with plugin.muster.opa, or prepare the policy where opa is (muster policy prepare)`,
      );
    const compiled = await this.#inTurn(() => this.#opa.compile(policy, use));
    this.#numbers.compiled(compiled);
    const common = { format: 'muster-policy-1', use, policy, compiler, made: Math.floor(Date.now() / 1_000) } as const;
    if (!compiled.ok) {
      this.#host.log.warn(`a policy can not be compiled: ${compiled.reason}`, { policy: sourceKey(policy, use) });
      return { ...common, result: { ok: false, error: compiled.error, reason: compiled.reason } };
    }
    const { dialect, module } = compiled;
    return {
      ...common,
      result: { ok: true, key: moduleKey({ policy, use, dialect, compiler }), dialect, ...packModule(module) },
    };
  }

  /** The record with what explains it, where that can be made. */
  #explained(params: Params, record: PolicyRecord): Promise<PolicyRecord> {
    const { result } = record;
    if (record.explainer || !result.ok) return Promise.resolve(record);
    const key = sourceKey(params.policy, params.use);
    const underway = this.#explaining.get(key);
    if (underway) return underway;
    const making = this.#explain(key, params, record, result.dialect).finally(() => this.#explaining.delete(key));
    this.#explaining.set(key, making);
    return making;
  }

  async #explain(key: string, params: Params, record: PolicyRecord, dialect: 'v0' | 'v1'): Promise<PolicyRecord> {
    try {
      if ((await this.#opa.version()) === undefined) return record;
      const explainer = await this.#inTurn(() => makeExplainer(this.#opa, params.policy, params.use, dialect));
      const explained = { ...record, explainer };
      this.#keep(key, params, explained);
      return explained;
    } catch (error) {
      this.#host.log.debug(`a policy is not explained: ${(error as Error).message}`);
      return record;
    }
  }

  #keep(key: string, params: Params, record: PolicyRecord): void {
    this.#memory.set(key, record);
    this.#write(params, record);
  }

  #sharePolicy(params: Params, record: PolicyRecord): void {
    if (params.share !== false && params.use === 'token' && record.result.ok) this.#shared.put(params, record);
  }

  #write(params: Params, record: PolicyRecord): void {
    try {
      this.#kept.set(params, record);
    } catch (error) {
      this.#host.log.warn(`a compiled policy could not be kept on disk: ${(error as Error).message}`);
    }
  }

  #remember(key: string, problem: string): Found {
    this.#numbers.failed();
    this.#host.log.error(`a policy was not compiled: ${problem}`);
    if (this.#problems.size >= maxProblems) this.#problems.clear();
    this.#problems.set(key, { problem, until: Date.now() + restMs });
    return { problem };
  }

  /** A few at a time. @throws CompilerError if too many wait */
  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    if (this.#running >= maxRunning) {
      if (this.#waiting.length >= maxWaiting)
        throw new CompilerError('POLICY_COMPILER', `${maxWaiting} policies are waiting to be compiled already`);
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    } else this.#running += 1;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running -= 1;
    }
  }
}
