// The discovery source `registry`: filters are held here against what the registry keeps, which is read once and then followed.

import { randomUUID } from 'node:crypto';
import { definePlugin, type Host, type KvChanges, PluginError } from '../../core/sdk/typescript/index.ts';
import { type Filter, FilterError } from '../wire/filter.ts';
import { localMatcher } from '../wire/local-filter.ts';
import { connect } from './connect.ts';
import { bucketName, connection, type KnownState, type NodeRecord, readRecord, stateOf } from './record.ts';

/** Time to read all of it; the time for discovery is meant for nodes that answer. */
const readMs = 30_000;
/** So long it is followed after it was asked. */
const followMs = 60_000;
/** So few names are looked up one by one, also while all are followed: what is followed lags behind what was written. */
const maxLookups = 64;

interface Params {
  readonly filter: Filter;
  readonly agent?: string;
  readonly collective: string;
  readonly timeoutMs: number;
  readonly options: Readonly<Record<string, string>>;
}

interface Found {
  readonly identity: string;
  readonly state: KnownState;
  readonly seen: number;
}

export default definePlugin({
  kind: 'discovery',
  version: '1.0.0',
  create: (host) => {
    const source = new Source(host);
    return {
      methods: { 'discovery/discover': (params: Params) => source.discover(params) },
      shutdown: () => source.close(),
    };
  },
});

class Source {
  readonly #host: Host;
  #follower: Follower | undefined;
  #idle: NodeJS.Timeout | undefined;

  constructor(host: Host) {
    this.#host = host;
  }

  async discover(params: Params): Promise<{ nodes: Found[]; notes: string[] }> {
    const stale = staleOf(params.options);
    const fits = matcher(params);
    await connect(this.#host, 'client', true);
    const silentAfter = Number(this.#host.config['plugin.muster.registry.silent_after']) / 1000;
    const now = Math.floor(Date.now() / 1000);
    const all = (await this.#records(params.filter))
      .filter(fits)
      .map((record) => ({ identity: record.identity, state: stateOf(record, now, silentAfter), seen: record.seen }));
    const present = all.filter(({ state }) => state === 'present');
    const left = all.length - present.length;
    if (stale || left === 0) return { nodes: all, notes: [] };
    const many = left === 1 ? '1 node that stopped or fell silent is' : `${left} nodes that stopped or fell silent are`;
    return { nodes: present, notes: [`${many} left out; --do stale=yes shows all`] };
  }

  async close(): Promise<void> {
    clearTimeout(this.#idle);
    const follower = this.#follower;
    this.#follower = undefined;
    await follower?.close();
  }

  /** Those that can fit: all, or if names are wanted, these. @throws PluginError if there is no registry */
  async #records({ identity }: Filter): Promise<NodeRecord[]> {
    const nodes = this.#host.kv.bucket(connection, bucketName);
    const few = identity.length > 0 && identity.length <= maxLookups && !identity.some((name) => name.startsWith('/'));
    try {
      if (few) {
        const entries = await Promise.all(identity.map((name) => nodes.get(name)));
        return entries.flatMap((entry) => (entry ? (readRecord(entry.value) ?? []) : []));
      }
      return await this.#followed();
    } catch (error) {
      if (error instanceof PluginError && error.code === 'NOT_FOUND')
        throw new PluginError('UNAVAILABLE', 'this broker has no registry of nodes; `muster run registry` keeps one', {
          cause: error,
        });
      throw error;
    }
  }

  async #followed(): Promise<NodeRecord[]> {
    clearTimeout(this.#idle);
    const nodes = this.#host.kv.bucket(connection, bucketName);
    // What was followed until the connection was lost may be long out of date.
    if (!(await this.#host.bus.info(connection)).connected)
      throw new PluginError('UNAVAILABLE', 'the broker with the registry can not be reached at the moment');
    if (!this.#follower) {
      // A watch waits for a bucket that is not there; this does not.
      await nodes.get('any');
      this.#follower ??= await Follower.start(this.#host);
    }
    const records = await this.#follower.current();
    this.#idle = setTimeout(() => void this.close(), followMs).unref();
    return records;
  }
}

/** What the bucket holds, kept up to date. */
class Follower {
  readonly #records = new Map<string, NodeRecord>();
  readonly #close: () => Promise<void>;
  readonly #current: Promise<void>;
  #onCurrent: () => void = () => undefined;

  private constructor(close: () => Promise<void>) {
    this.#close = close;
    this.#current = new Promise((resolve) => {
      this.#onCurrent = resolve;
    });
  }

  static async start(host: Host): Promise<Follower> {
    const nodes = host.kv.bucket(connection, bucketName);
    // Another process of this plugin would go on where this one is, and not know what this one does.
    const id = `nodes:${randomUUID()}`;
    const follower = new Follower(() => nodes.unwatch(id));
    await nodes.watch({ id }, (changes) => follower.#take(changes));
    return follower;
  }

  /** @throws PluginError `DEADLINE` if it takes too long to read */
  async current(): Promise<NodeRecord[]> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      const seconds = readMs / 1000;
      timer = setTimeout(() => reject(new PluginError('DEADLINE', `the registry could not be read within ${seconds} s`)), readMs);
    });
    await Promise.race([this.#current, late]).finally(() => clearTimeout(timer));
    return [...this.#records.values()];
  }

  close(): Promise<void> {
    return this.#close().catch(() => undefined);
  }

  #take({ changes, reset, current }: KvChanges): void {
    if (reset) this.#records.clear();
    for (const { key, value } of changes) {
      const record = value && readRecord(value);
      if (record && record.identity === key) this.#records.set(key, record);
      else this.#records.delete(key);
    }
    if (current) this.#onCurrent();
  }
}

/** @throws FilterError for another option or value */
function staleOf(options: Readonly<Record<string, string>>): boolean {
  const other = Object.keys(options).find((name) => name !== 'stale');
  if (other !== undefined) throw new FilterError(`registry has no option '${other}'; it has stale`);
  const { stale = 'no' } = options;
  if (!/^(yes|no|true|false)$/.test(stale)) throw new FilterError(`the option stale of registry is yes or no, not '${stale}'`);
  return stale === 'yes' || stale === 'true';
}

function matcher({ filter, agent, collective }: Params): (record: NodeRecord) => boolean {
  const fits = localMatcher(filter);
  const nameOnly =
    filter.fact.length + filter.cf_class.length + filter.compound.length === 0 &&
    (filter.agent ?? []).every((name) => name === agent);
  const byName = localMatcher({ ...filter, agent: [] });
  return (record) => {
    const { identity, registered, collectives = [], agents = [], classes = [], facts = {} } = record;
    // Of one that never registered no more than its name is known.
    if (registered === undefined) return nameOnly && byName({ identity, agents, classes, facts });
    return collectives.includes(collective) && fits({ identity, agents, classes, facts });
  };
}
