// The host: which bundles are loaded, which plugin answers for which name, and how a changed bundle takes over.

import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Capabilities, createCapabilities, type TerminalEnds } from '../capabilities/index.ts';
import { isTrue, type ResolvedConfig } from '../config/values.ts';
import type { Contract, Method } from '../protocol/contract.ts';
import { PluginError } from '../protocol/errors.ts';
import type { BytePaths, Params } from '../protocol/messages.ts';
import type { CallOptions, IncomingCall } from '../protocol/peer.ts';
import type { PluginDefinition, Host as PluginHost } from '../sdk/typescript/plugin.ts';
import { type Bundle, BundleError, findBundles, loadBundle, removeOtherSnapshots, removeSnapshot } from './bundle.ts';
import { BundleWatcher } from './bundle-watcher.ts';
import { keySpecsOf, valuesOf } from './config-keys.ts';
import { ControlSocket } from './control.ts';
import { type AnnouncedPlugin, describePlugin, describeSwitchedOff, type PluginListing } from './listing.ts';
import type { HostLog } from './log.ts';
import { createMask } from './mask.ts';
import { type Caller, Plugin, type Prepared } from './plugin.ts';
import type { Runtime } from './runtime.ts';
import { type Needs, type PluginSpec, programSpec } from './spec.ts';
import { Traces } from './traces.ts';
import { workFolderOf } from './work-folder.ts';

export interface HostOptions {
  readonly runtime: Runtime;
  /** Folders with bundles that never change while this runs: those that come with the distribution. */
  readonly bundles: readonly string[];
  /** Folders with bundles that come and go; watched. */
  readonly watched?: readonly string[];
  /** Whether changes in those folders are followed. Default true. */
  readonly watch?: boolean;
  /** Durable folder of this host. */
  readonly stateFolder: string;
  readonly config: ResolvedConfig;
  /** Names of the plugins of kind `service` that this host is there to run. */
  readonly services?: readonly string[];
  readonly log: HostLog;
  readonly terminal?: TerminalEnds;
  /** Opens `<stateFolder>/control.sock`. */
  readonly control?: boolean;
  /** In-memory values are frozen and checked to be JSON, for tests. */
  readonly strict?: boolean;
  /** Replaces the runner `inline` by `persistent`, for tests. */
  readonly inlineAs?: 'persistent';
  /** Called when a plugin asked the host to stop; `restart` if it is to be started again. */
  /** Answers what plugins ask for, in place of the real thing. */
  readonly capabilities?: Capabilities;
  readonly onStopRequest?: (request: { reason: string; exitCode: number; restart: boolean }) => void;
}

export interface BundleProblem {
  readonly bundle: string;
  readonly message: string;
  readonly since: number;
}

interface Announced extends AnnouncedPlugin {
  readonly announcer: Plugin;
}

export class Host {
  readonly options: HostOptions;
  readonly startedAt = Date.now();
  readonly traces: Traces;
  readonly #bundles = new Map<string, Bundle>();
  readonly #plugins = new Map<string, Plugin>();
  readonly #announced = new Map<string, Announced>();
  readonly #problems = new Map<string, BundleProblem>();
  readonly #contracts = new Map<string, Contract>();
  readonly #kindWatchers = new Set<(kind: string) => void>();
  readonly #originalModules = new Map<string, string>();
  readonly #capabilities: Capabilities;
  #watcher: BundleWatcher | undefined;
  #control: ControlSocket | undefined;
  #reloads: Promise<void> = Promise.resolve();
  #stopped: Promise<void> | undefined;

  constructor(options: HostOptions) {
    this.options = options;
    this.traces = new Traces((value) => this.mask(value));
    mkdirSync(options.stateFolder, { recursive: true, mode: 0o700 });
    this.#capabilities = options.capabilities ?? createCapabilities(this);
  }

  get log(): HostLog {
    return this.options.log;
  }

  get runtime(): Runtime {
    return this.options.runtime;
  }

  get bundles(): readonly Bundle[] {
    return [...this.#bundles.values()];
  }

  get problems(): readonly BundleProblem[] {
    return [...this.#problems.values()];
  }

  /** Loads the bundles and starts what is to run from the beginning. @throws if a service can't be started */
  async start(): Promise<void> {
    const { bundles, watched = [], watch = true, services = [] } = this.options;
    for (const source of bundles.flatMap(findBundles)) await this.#addBundle(source, 'cached');
    for (const source of watched.flatMap(findBundles)) await this.#reloadNow(source).catch(() => undefined);
    removeOtherSnapshots(join(this.options.stateFolder, 'bundles'), this.bundles);
    if (watched.length > 0 && watch) {
      this.#watcher = new BundleWatcher(watched, {
        onSettled: (source) => void this.reloadBundle(source).catch(() => undefined),
        log: this.log,
      });
      await this.#watcher.start();
    }
    if (this.options.control) {
      this.#control = new ControlSocket(this);
      await this.#control.open();
    }
    for (const name of services) await this.#service(name).ensure();
    if (services.length > 0)
      for (const plugin of this.#plugins.values())
        if (plugin.spec.eager && plugin.spec.kind !== 'service') await plugin.ensure().catch(() => undefined);
  }

  /** Ends everything in reverse. Safe to call twice. */
  stop(reason = 'the host stops'): Promise<void> {
    this.#stopped ??= this.#stopNow(reason);
    return this.#stopped;
  }

  /**
   * Calls a method of a plugin by kind and name. What goes in and comes out is checked against the kind's contract.
   * @throws PluginError `NOT_FOUND`, `UNKNOWN_METHOD`, `INVALID_PARAMS`, `CONTRACT` and what `Plugin.call` throws
   */
  call(kind: string, name: string, method: string, params: Params, options: CallOptions = {}): Promise<unknown> {
    const key = `${kind}/${name}`;
    const announced = this.#plugins.has(key) ? undefined : this.#announced.get(key);
    const plugin = announced?.announcer ?? this.#plugins.get(key);
    if (!plugin) return Promise.reject(this.#notFound(kind, name));
    let checked: Method | undefined;
    try {
      checked = this.#method(kind, method);
      checked?.checkParams(params);
    } catch (error) {
      return Promise.reject(error as Error);
    }
    const deadlineMs = Math.min(
      options.deadlineMs ?? Number.POSITIVE_INFINITY,
      checked?.deadlineMs ?? Number.POSITIVE_INFINITY,
      plugin.spec.limits.deadlineMs ?? Number.POSITIVE_INFINITY,
    );
    const callOptions: CallOptions = {
      ...options,
      ...(Number.isFinite(deadlineMs) && { deadlineMs }),
      ...(announced && { plugin: name }),
      onProgress: progressChecker(checked, options.onProgress),
    };
    const passage = { plugin: key, what: 'call', method, params, options: callOptions } as const;
    const traced = this.traces.watched ? this.traces.begin(passage) : undefined;
    const used = traced?.options ?? callOptions;
    let answer = plugin.call(method, params, used);
    if (checked?.idempotent)
      answer = answer.catch((error: unknown) =>
        isGone(error) ? plugin.call(method, params, used) : Promise.reject(error as Error),
      );
    if (checked)
      answer = answer.then((result) => {
        checked.checkResult(result);
        return result;
      });
    return traced ? traced.end(answer) : answer;
  }

  /** The plugins of a kind, or of all, with those that are announced and those that are switched off. */
  list(kind?: string): PluginListing[] {
    const own = [...this.#plugins.values()].filter((plugin) => kind === undefined || plugin.spec.kind === kind);
    const announced = [...this.#announced.values()].filter(
      (entry) => (kind === undefined || entry.kind === kind) && !this.#plugins.has(`${entry.kind}/${entry.name}`),
    );
    const off = [...this.#bundles.values()]
      .flatMap(({ plugins }) => plugins)
      .filter((spec) => !this.#isOn(spec) && (kind === undefined || spec.kind === kind) && !this.plugin(spec.kind, spec.name));
    return [
      ...own.map((plugin) => describePlugin(plugin)),
      ...announced.map((entry) => describePlugin(entry.announcer, entry)),
      ...off.map(describeSwitchedOff),
    ];
  }

  plugin(kind: string, name: string): Plugin | undefined {
    return this.#plugins.get(`${kind}/${name}`) ?? this.#announced.get(`${kind}/${name}`)?.announcer;
  }

  /** Replaces the set that a plugin announces; undone by the returned function. */
  announce(announcer: Plugin, set: readonly AnnouncedPlugin[]): () => void {
    const keys = new Map(set.map((entry) => [`${entry.kind}/${entry.name}`, { ...entry, announcer }]));
    const before = [...this.#announced].filter(([, entry]) => entry.announcer === announcer);
    for (const [key] of before) if (!keys.has(key)) this.#announced.delete(key);
    for (const [key, entry] of keys) {
      if (this.#plugins.has(key))
        this.log.warn(
          {},
          `${announcer.name} announces ${key}, which the bundle ${this.#plugins.get(key)?.spec.bundle} provides; the bundle's counts`,
        );
      const other = this.#announced.get(key);
      if (other && other.announcer !== announcer)
        this.log.warn({}, `${announcer.name} announces ${key}, which ${other.announcer.name} already answers for; ignored`);
      else this.#announced.set(key, entry);
    }
    for (const kind of new Set([...before.map(([, entry]) => entry.kind), ...set.map((entry) => entry.kind)]))
      this.#changed(kind);
    return () => {
      for (const [key, entry] of this.#announced) if (keys.get(key) === entry) this.#announced.delete(key);
      for (const kind of new Set(set.map((entry) => entry.kind))) this.#changed(kind);
    };
  }

  /** Makes the program that runs this host a plugin of it, of kind `program`, and hands out what a plugin is given. */
  async attach(name: string, needs: Needs): Promise<PluginHost> {
    const url = `program:${name}`;
    let given: PluginHost | undefined;
    const definition: PluginDefinition = {
      kind: 'program',
      version: this.runtime.version,
      create: (host) => {
        given = host;
        return { methods: {} };
      },
    };
    const spec = programSpec(name, needs, url, [...this.options.config.values.keys()]);
    const plugin = this.#createPlugin(spec, definition);
    this.#plugins.set(`program/${name}`, plugin);
    await plugin.ensure();
    if (!given) throw new PluginError('UNAVAILABLE', `the program ${name} was not attached`);
    return given;
  }

  /** Calls back whenever plugins of some kind come, go or change. */
  watchKinds(watcher: (kind: string) => void): () => void {
    this.#kindWatchers.add(watcher);
    return () => this.#kindWatchers.delete(watcher);
  }

  /** Loads, replaces or removes a bundle by its folder; one at a time. @throws what made it impossible; the old version then stays */
  reloadBundle(source: string): Promise<void> {
    const reload = this.#reloads.then(() => this.#reloadNow(source));
    this.#reloads = reload.catch(() => undefined);
    return reload;
  }

  /** Reloads a bundle by its name and lifts the quarantine of its plugins. */
  async reloadByName(name: string): Promise<void> {
    const bundle = this.#bundles.get(name);
    const source = bundle?.source ?? [...this.#problems.keys()].find((path) => path.endsWith(`/${name}`));
    if (source === undefined)
      throw new PluginError('NOT_FOUND', `there is no bundle ${name}; loaded are ${[...this.#bundles.keys()].join(', ')}`);
    await this.reloadBundle(source);
    for (const plugin of this.#plugins.values())
      if (plugin.spec.bundle === name && plugin.state.at === 'quarantined') await plugin.resume();
  }

  async #reloadNow(source: string): Promise<void> {
    if (this.#stopped) return;
    const present = [...this.#bundles.values()].find((bundle) => bundle.source === source);
    try {
      if (findBundles(join(source, '..')).includes(source))
        await this.#addBundle(source, this.options.watched?.includes(dirname(source)) ? 'copied' : 'in place');
      else if (present) await this.#removeBundle(present);
      this.#problems.delete(source);
    } catch (error) {
      const message = (error as Error).message;
      this.#problems.set(source, { bundle: present?.name ?? source, message, since: Date.now() });
      const incomplete = error instanceof BundleError && error.code === 'BUNDLE_INCOMPLETE';
      this.log[incomplete ? 'info' : 'error']({ bundle: source }, `${present ? 'the present version stays: ' : ''}${message}`);
      throw error;
    }
  }

  /**
   * Loads a bundle and lets it take over. `copied`: it runs from a snapshot, since its folder may change at any time;
   * `cached`: it was read before for another host of this process.
   */
  async #addBundle(source: string, how: 'cached' | 'copied' | 'in place'): Promise<void> {
    const { runtime, stateFolder } = this.options;
    const copies = how === 'copied' ? join(stateFolder, 'bundles') : undefined;
    const load = () => loadBundle(source, { copies, contract: (kind) => this.#contract(kind) });
    const bundle = how === 'cached' ? runtime.bundle(source, load) : load();
    const present = this.#bundles.get(bundle.name);
    if (present && present.source !== source)
      throw new BundleError(
        'BUNDLE_UNREADABLE',
        `${source}: the bundle ${bundle.name} is already loaded from ${present.source}; give one of them another name`,
      );
    if (present?.digest === bundle.digest) return;
    for (const contract of bundle.contracts)
      if (runtime.contract(contract.kind))
        throw new BundleError('BUNDLE_UNREADABLE', `${source}: the kind ${contract.kind} belongs to Muster; choose another name`);
    const specs = this.#switchedOn(bundle).map((spec) => this.#adjust(spec));
    this.#refuseTakenNames(bundle, specs);
    const { drained } = await this.#switchBundle(specs, present);
    this.#bundles.set(bundle.name, bundle);
    for (const contract of bundle.contracts) this.#contracts.set(contract.kind, contract);
    if (present) this.#forget(present, drained);
    for (const kind of new Set([...specs, ...(present?.plugins ?? [])].map((spec) => spec.kind))) this.#changed(kind);
    this.log.debug({ bundle: bundle.name, version: bundle.version }, present ? 'bundle replaced' : 'bundle loaded');
  }

  /** Starts the new versions of what runs, all of them, then switches; if one fails, everything stays as it was. */
  async #switchBundle(specs: readonly PluginSpec[], present: Bundle | undefined): Promise<{ drained: Promise<unknown> }> {
    const prepared: Prepared[] = [];
    try {
      for (const spec of specs) {
        const running = this.#plugins.get(`${spec.kind}/${spec.name}`);
        if (running) prepared.push(await running.prepare(spec));
      }
    } catch (error) {
      for (const version of prepared) await version.abandon();
      throw error;
    }
    const drained: Promise<void>[] = [];
    for (const version of prepared) drained.push((await version.commit()).drained);
    for (const spec of specs) {
      const key = `${spec.kind}/${spec.name}`;
      if (this.#plugins.has(key)) continue;
      const plugin = this.#createPlugin(spec);
      this.#plugins.set(key, plugin);
      if (spec.eager && this.#watcher) void plugin.ensure().catch(() => undefined);
    }
    const kept = new Set(specs.map((spec) => `${spec.kind}/${spec.name}`));
    for (const spec of present ? this.#switchedOn(present) : [])
      if (!kept.has(`${spec.kind}/${spec.name}`)) drained.push(this.#removePlugin(spec, 'it is no longer in its bundle'));
    return { drained: Promise.all(drained) };
  }

  async #removeBundle(bundle: Bundle): Promise<void> {
    this.#bundles.delete(bundle.name);
    const ended = this.#switchedOn(bundle).map((spec) => this.#removePlugin(spec, 'its bundle was removed'));
    this.#forget(bundle, Promise.all(ended));
    for (const contract of bundle.contracts) this.#contracts.delete(contract.kind);
    this.log.info({ bundle: bundle.name }, 'bundle removed');
    // What was refused because of a name may have it now.
    for (const source of this.#problems.keys())
      if (source !== bundle.source) void this.reloadBundle(source).catch(() => undefined);
  }

  /** The plugins of a bundle without those that this host's configuration leaves off. */
  #switchedOn({ plugins }: Bundle): PluginSpec[] {
    return plugins.filter((spec) => this.#isOn(spec));
  }

  #isOn({ when }: PluginSpec): boolean {
    return when === undefined || isTrue(this.options.config.values.get(when));
  }

  /** Removes what a version ran from when it has ended, in turn with reloads: the same version may have come back. */
  #forget(version: Bundle, ended: Promise<unknown>): void {
    void ended.then(() => {
      this.#reloads = this.#reloads.then(() => {
        if (this.#bundles.get(version.name)?.folder !== version.folder) removeSnapshot(version);
      });
    });
  }

  /** Calls that run finish on their own time; resolves when it has ended. */
  async #removePlugin(spec: PluginSpec, reason: string): Promise<void> {
    const key = `${spec.kind}/${spec.name}`;
    const plugin = this.#plugins.get(key);
    this.#plugins.delete(key);
    const ended = plugin?.stop(reason);
    this.#changed(spec.kind);
    await ended;
  }

  #createPlugin(spec: PluginSpec, definition?: PluginDefinition): Plugin {
    const { runtime, stateFolder, strict = false } = this.options;
    const workFolder = workFolderOf(stateFolder, spec);
    const durable = join(workFolder, '../state');
    if (spec.needs.state) mkdirSync(durable, { recursive: true, mode: 0o700 });
    return new Plugin(spec, {
      runtime,
      definition,
      stateFolder: spec.needs.state ? durable : null,
      workFolder,
      strict,
      about: (current) => ({
        contract: this.#contractOf(current),
        config: this.configOf(current),
        bytes: this.#bytesOf(current),
      }),
      log: this.log.child({ plugin: `${spec.kind}/${spec.name}` }),
      traces: this.traces,
      onCapability: (method, params, caller, call) => this.#capability(method, params, caller, call),
      onChange: () => this.#changed(spec.kind),
    });
  }

  /** What a plugin is given of the configuration. */
  configOf({ configKeys }: PluginSpec): Record<string, unknown> {
    return valuesOf(this.options.config.values, configKeys);
  }

  /** A copy without the values of keys that are declared secret, and without what looks like a secret. */
  mask(value: unknown): unknown {
    const { values } = this.options.config;
    const secrets = [...keySpecsOf(this.bundles)]
      .filter(([, { secret }]) => secret)
      .map(([key]) => String(values.get(key) ?? ''));
    return createMask(secrets)(value);
  }

  #capability(method: string, params: Params, caller: Caller, call: IncomingCall): unknown {
    if (!this.traces.watched) return this.#capabilities.answer(method, params, caller, call);
    const passage = { plugin: caller.name, what: 'capability', method, params, options: call.meta } as const;
    return this.traces.begin(passage).end((async () => this.#capabilities.answer(method, params, caller, call))());
  }

  /** ES modules can't be unloaded: a changed inline bundle runs as a process of its own until the next start. */
  #adjust(spec: PluginSpec): PluginSpec {
    if (spec.runner !== 'inline' || spec.moduleUrl === undefined) return spec;
    if (this.options.inlineAs === 'persistent') return { ...spec, runner: 'persistent' };
    const key = `${spec.kind}/${spec.name}`;
    const original = this.#originalModules.get(key) ?? spec.digest;
    this.#originalModules.set(key, original);
    return original === spec.digest ? spec : { ...spec, runner: 'persistent' };
  }

  #refuseTakenNames(bundle: Bundle, specs: readonly PluginSpec[]): void {
    for (const spec of specs) {
      const taken = this.#plugins.get(`${spec.kind}/${spec.name}`);
      if (taken && taken.spec.bundle !== bundle.name) {
        throw new BundleError(
          'BUNDLE_UNREADABLE',
          `${bundle.source}: ${spec.kind}/${spec.name} is already provided by the bundle ${taken.spec.bundle}; rename one of them`,
        );
      }
    }
  }

  #service(name: string): Plugin {
    const plugin = this.#plugins.get(`service/${name}`);
    if (plugin) return plugin;
    const known = [...this.#plugins.values()].filter(({ spec }) => spec.kind === 'service').map(({ spec }) => spec.name);
    throw new PluginError('NOT_FOUND', `there is no service ${name}; there are ${known.join(', ') || 'none'}`);
  }

  #contract(kind: string): Contract | undefined {
    return this.runtime.contract(kind) ?? this.#contracts.get(kind);
  }

  /** What a version brought along, or what is in force if another bundle brings the contract of its kind. */
  #contractOf({ kind, contract }: PluginSpec): Contract | undefined {
    return contract ?? this.#contract(kind);
  }

  /** Of the capabilities, the plugin's own kind, and the kinds that it may call or announce. */
  #bytesOf(spec: PluginSpec): BytePaths {
    const kinds = [...(spec.needs.plugins ?? []), ...(spec.needs.announce ?? [])];
    const contracts = [this.#contractOf(spec), ...kinds.map((name) => this.#contract(name))];
    return Object.assign({}, this.runtime.capabilities.bytes, ...contracts.map((contract) => contract?.bytes)) as BytePaths;
  }

  #method(kind: string, name: string): Method | undefined {
    const contract = this.#contract(kind);
    if (!contract) return undefined;
    const method = contract.methods.get(name);
    if (method) return method;
    throw new PluginError(
      'UNKNOWN_METHOD',
      `the contract of kind ${kind} has no method ${name}; it has ${[...contract.methods.keys()].join(', ')}`,
    );
  }

  #notFound(kind: string, name: string): PluginError {
    const listings = this.list(kind);
    const off = listings.find((listing) => listing.name === name && listing.state === 'off');
    if (off) return new PluginError('NOT_FOUND', `${kind} ${name} is switched off: ${off.reason}`);
    const names = listings.map((listing) => listing.name);
    return new PluginError(
      'NOT_FOUND',
      names.length > 0
        ? `there is no ${kind} ${name}; there are ${names.join(', ')}`
        : `there is no ${kind} ${name}; no plugin of kind ${kind} is loaded`,
    );
  }

  #changed(kind: string): void {
    for (const watcher of this.#kindWatchers) watcher(kind);
  }

  async #stopNow(reason: string): Promise<void> {
    await this.#watcher?.stop();
    await this.#control?.close();
    await this.#reloads;
    const services = [...this.#plugins.values()].filter(({ spec }) => spec.kind === 'service');
    const others = [...this.#plugins.values()].filter(({ spec }) => spec.kind !== 'service');
    // Services first: they still need the others to say goodbye.
    for (const plugin of services.reverse()) await plugin.stop(reason, plugin.spec.limits.graceMs);
    await Promise.all(others.map((plugin) => plugin.stop(reason, plugin.spec.limits.graceMs)));
    await this.#capabilities.close();
  }
}

function isGone(error: unknown): boolean {
  return error instanceof PluginError && error.code === 'GONE';
}

function progressChecker(method: Method | undefined, onProgress: CallOptions['onProgress']): CallOptions['onProgress'] {
  if (!onProgress || !method) return onProgress;
  return (value) => {
    method.checkProgress(value);
    onProgress(value);
  };
}
