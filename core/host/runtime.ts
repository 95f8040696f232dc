// What never changes and is shared by every host of a process: contracts, version, the launcher and the guardian.

import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { type Checks, type Contract, createContract } from '../protocol/contract.ts';
import type { PluginDefinition } from '../sdk/typescript/plugin.ts';
import type { Bundle } from './bundle.ts';
import { distributionRoot, packageInfo } from './distribution.ts';
import { Guardian } from './guardian.ts';
import { Launcher } from './launcher.ts';

export class Runtime {
  readonly root = distributionRoot();
  readonly version = packageInfo().version;
  readonly startedAt = Date.now();
  readonly guardian = new Guardian();
  readonly launcher = new Launcher(this.guardian);
  readonly #contracts = new Map<string, Contract>();
  readonly #bundles = new Map<string, Bundle>();
  readonly #modules = new Map<string, Promise<PluginDefinition>>();
  readonly #require = createRequire(import.meta.url);
  #known: ReadonlySet<string> | undefined;

  /** The contract of a first-party kind, with validators compiled at build time; undefined if the kind has none. */
  contract(kind: string): Contract | undefined {
    const made = this.#contracts.get(kind);
    if (made) return made;
    this.#known ??= new Set(readdirSync(join(this.root, 'ddl/contracts')));
    if (!this.#known.has(`${kind}.json`)) return undefined;
    return this.#makeContract(kind, join(this.root, 'ddl/contracts', `${kind}.json`));
  }

  /** The methods between host and plugin that every kind shares. */
  get capabilities(): Contract {
    return this.#contracts.get('host') ?? this.#makeContract('host', join(this.root, 'core/capabilities/contract.json'));
  }

  /** A bundle that never changes while this runs; read once for all hosts. */
  bundle(source: string, load: () => Bundle): Bundle {
    const read = this.#bundles.get(source) ?? load();
    this.#bundles.set(source, read);
    return read;
  }

  /** The definition that a plugin module exports; loaded once for all hosts. */
  module(url: string): Promise<PluginDefinition> {
    let loading = this.#modules.get(url);
    if (!loading) {
      loading = load(url);
      loading.catch(() => this.#modules.delete(url));
      this.#modules.set(url, loading);
    }
    return loading;
  }

  /** Ends the processes that hosts share. */
  close(): void {
    this.launcher.close();
    this.guardian.close();
  }

  #makeContract(kind: string, file: string): Contract {
    const checks = this.#require(join(this.root, 'generated/contracts', `${kind}.cjs`)) as Checks;
    const contract = createContract(JSON.parse(readFileSync(file, 'utf8')), checks);
    this.#contracts.set(kind, contract);
    return contract;
  }
}

async function load(url: string): Promise<PluginDefinition> {
  const loaded = (await import(url)) as { default?: PluginDefinition };
  if (!loaded.default?.kind) throw new Error(`${url} has no default export made by definePlugin`);
  return loaded.default;
}
