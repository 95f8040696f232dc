// The data plugins of this node: which there are, and what they tell; an answer counts for two seconds.

import { readdirSync, readFileSync } from 'node:fs';
import type { AnnouncedPlugin, Call, Host } from '../../core/sdk/typescript/index.ts';
import type { DataFunction } from '../wire/compound.ts';
import { type DataDDL, DdlError, defaultTimeout, readDataDdl } from '../wire/ddl.ts';
import { checkQuery } from '../wire/ddl-input.ts';

const keepMs = 2_000;
const maxKept = 256;

interface Kept {
  readonly answer: Promise<unknown>;
  readonly until: number;
  /** What was answered, when it was. */
  told?: { readonly data: unknown };
}

const dataFolder = new URL('../../ddl/data/', import.meta.url);

/** Those that the fleet server answers for itself. */
export const builtinData: readonly AnnouncedPlugin[] = readdirSync(dataFolder).map((file) => {
  const ddl = JSON.parse(readFileSync(new URL(file, dataFolder), 'utf8')) as DataDDL;
  const { name, description, version } = ddl.metadata;
  return { kind: 'data', name, description, version, resources: { ddl } };
});

export class DataSources {
  readonly #host: Host;
  readonly #kept = new Map<string, Kept>();
  #sources: ReadonlyMap<string, DataDDL> = new Map();
  #functions: readonly DataFunction[] = [];

  constructor(host: Host) {
    this.#host = host;
  }

  get names(): readonly string[] {
    return [...this.#sources.keys()].sort();
  }

  /** Asks the host which there are. One without a DDL that can be read is left out, and the log says why. */
  async refresh(): Promise<void> {
    const sources = new Map<string, DataDDL>();
    for (const { name, bundle, resources, state } of await this.#host.plugins.list('data')) {
      if (state === 'off') continue;
      try {
        if (resources.ddl === undefined)
          throw new DdlError(
            `data/${name} of the bundle ${bundle} hands out no DDL; bundle.yaml needs \`resources: {ddl: ./ddl.json}\``,
          );
        sources.set(name, readDataDdl(resources.ddl, `the DDL of data/${name} of the bundle ${bundle}`));
      } catch (error) {
        this.#host.log.error((error as Error).message);
      }
    }
    for (const key of this.#kept.keys()) if (!sources.has(key.slice(0, key.indexOf(' ')))) this.#kept.delete(key);
    this.#sources = sources;
    this.#functions = [...sources].map(([name, { query }]) => ({ name, takesQuery: Boolean(query) }));
  }

  /** As filters call them; another list once they change. */
  get functions(): readonly DataFunction[] {
    return this.#functions;
  }

  has(source: string): boolean {
    return this.#sources.has(source);
  }

  /** What a source tells; null if it knows nothing of what was asked. @throws DdlError, PluginError */
  async get(source: string, query: string | undefined, call?: Call): Promise<unknown> {
    const ddl = this.#sources.get(source);
    if (!ddl) return null;
    checkQuery(ddl, query);
    const key = `${source} ${query ?? ''}`;
    const now = performance.now();
    const kept = this.#kept.get(key);
    if (kept && kept.until > now) return kept.answer;
    if (this.#kept.size >= maxKept) this.#kept.clear();
    const answer = this.#ask(source, query, (ddl.metadata.timeout || defaultTimeout) * 1000, call);
    const fresh: Kept = { answer, until: now + keepMs };
    this.#kept.set(key, fresh);
    answer.then(
      (data) => {
        fresh.told = { data };
      },
      // A failure is nobody else's answer.
      () => this.#kept.delete(key),
    );
    return answer;
  }

  /** What was told a moment ago, and still counts. */
  recall(source: string, query: string | undefined): { readonly data: unknown } | undefined {
    const kept = this.#kept.get(`${source} ${query ?? ''}`);
    return kept && kept.until > performance.now() ? kept.told : undefined;
  }

  async #ask(source: string, query: string | undefined, deadlineMs: number, call: Call | undefined): Promise<unknown> {
    const params = { source, ...(query !== undefined && { query }) };
    const { data } = (await this.#host.plugins.call('data', source, 'data/get', params, {
      deadlineMs,
      ...(call && { for: call }),
    })) as { data: unknown };
    return data;
  }
}
