// `emulate`: many hosts in a process, each with the real fleet server, a connection, facts and classes of its own.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Call, definePlugin, type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { type BrokerConfig, findBrokers } from '../wire/brokers.ts';
import { lifecycleSubject, readLifecycleEvent } from '../wire/lifecycle.ts';
import { EmulatorProcesses, progressLine } from './emulator-processes.ts';
import { type EmulatedNode, Enrolments } from './enrolments.ts';
import { readMishaps } from './mishaps.ts';

interface Options {
  readonly nodes: number;
  readonly processes: number;
  readonly prefix: string;
  readonly first: number;
  readonly seed: number;
  readonly latency: string;
  readonly errors: string;
  readonly silence: string;
  /** File of a token: the nodes begin without certificates and enrol themselves. */
  readonly provision?: string;
}

/** Nodes that are connecting at the same time: their TLS handshakes share one event loop. */
const atOnce = 24;
/** Those that enrol themselves wait for others most of the time. */
const enrollingAtOnce = 400;
/** Longest wait for another node to be connected. */
const arrivalMs = 60_000;
/** Thousands connect from this one machine; who waits for its turn there is not to begin anew. */
const connectTimeout = '60s';
const tellEveryMs = 1_000;

export default definePlugin({
  kind: 'command',
  version: '1.0.0',
  create: (host) => ({
    methods: {
      'command/run': async ({ options }: { options: Options }, call: Call) => {
        check(options);
        const started = performance.now();
        if (options.processes > 1) await new EmulatorProcesses(host, options, call.signal).start();
        else await startAll(host, options, call.signal);
        const seconds = ((performance.now() - started) / 1000).toFixed(1);
        const where = options.processes > 1 ? `${options.processes} processes` : 'this process';
        await host.terminal.write(
          `${options.nodes} nodes run in ${where} and are connected; it took ${seconds} s. Press Ctrl-C to stop them.\n`,
        );
        await new Promise((resolve) => call.signal.addEventListener('abort', resolve, { once: true }));
        return { exitCode: 0 };
      },
    },
  }),
});

/** @throws PluginError `INVALID_PARAMS` */
function check({ nodes, processes, first, ...mishaps }: Options): void {
  for (const [flag, value] of Object.entries({ nodes, processes, first }))
    if (!Number.isInteger(value) || value < 1)
      throw new PluginError('INVALID_PARAMS', `--${flag} takes a whole number from 1, not ${value}`);
  if (processes > nodes) throw new PluginError('INVALID_PARAMS', `${nodes} nodes can't be spread over ${processes} processes`);
  readMishaps(mishaps);
}

/** Counts the nodes that have told the fleet that they are there. */
class Arrivals {
  readonly #started = new Set<string>();
  #wake: () => void = () => undefined;

  static async watch(host: Host, servers: readonly string[]): Promise<Arrivals> {
    const arrivals = new Arrivals();
    const { tls, callerid } = (await host.plugins.call('security', 'x509', 'security/identity', { role: 'client' })) as {
      tls: object;
      callerid: string;
    };
    await host.bus.open({ connection: 'client', servers, name: callerid, tls });
    await host.bus.subscribe(
      { connection: 'client', id: 'arrivals', subject: lifecycleSubject('startup', 'server') },
      ({ payload }) => {
        const told = readLifecycleEvent(Buffer.from(payload).toString('utf8'));
        if (told && arrivals.#started.delete(told.event.identity)) arrivals.#wake();
      },
    );
    return arrivals;
  }

  begin(identity: string): void {
    this.#started.add(identity);
  }

  /** Waits until no more than so many are on their way. @throws PluginError if nobody arrives for a long time */
  async below(count: number, signal: AbortSignal): Promise<void> {
    while (this.#started.size > count) {
      const arrived = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      const waited = new AbortController();
      const late = sleep(arrivalMs, undefined, { signal: AbortSignal.any([signal, waited.signal]), ref: false }).then(() => {
        const [first] = this.#started;
        throw new PluginError(
          'UNAVAILABLE',
          `${this.#started.size} nodes, ${first} among them, are not connected, and none was for ${arrivalMs / 1000} s; is the broker there, and may this process open as many files (ulimit -n)?`,
        );
      });
      late.catch(() => undefined);
      await Promise.race([arrived, late]);
      waited.abort();
    }
  }
}

async function startAll(host: Host, options: Options, signal: AbortSignal): Promise<void> {
  const { nodes, prefix, first, seed } = options;
  const { root = '' } = await host.control.info();
  // They are found once for all nodes: name servers would take 20,000 questions for an attack.
  const { urls } = await findBrokers(host.config as unknown as BrokerConfig, process.env);
  const arrivals = await Arrivals.watch(host, urls);
  const enrolments = options.provision === undefined ? undefined : await Enrolments.open(host, options.provision);
  const { interactive } = await host.terminal.info();
  const tell = (started: number) =>
    host.terminal.write(interactive ? `\r${started} / ${nodes} nodes started` : progressLine(started), 'stderr');
  let toldAt = 0;
  for (let number = first; number < first + nodes; number += 1) {
    signal.throwIfAborted();
    await arrivals.below((enrolments ? enrollingAtOnce : atOnce) - 1, signal);
    const identity = `${prefix}${number}`;
    arrivals.begin(identity);
    const node = describeNode(host, { identity, seed: seed * 1_000_003 + number, brokers: urls }, options, join(root, 'plugins'));
    await (enrolments ? enrolments.start(node) : startNode(host, node));
    if (performance.now() - toldAt < tellEveryMs) continue;
    toldAt = performance.now();
    await tell(number - first + 1);
  }
  await arrivals.below(0, signal);
  await tell(nodes);
  if (interactive) await host.terminal.write('\n', 'stderr');
}

function startNode(host: Host, { id, shared, config, services, bundles, stateFolder }: EmulatedNode): Promise<void> {
  return host.control.startHost({ id, config: { ...shared, ...config }, services, bundles, stateFolder });
}

function describeNode(
  host: Host,
  { identity, seed, brokers }: { readonly identity: string; readonly seed: number; readonly brokers: readonly string[] },
  mishaps: Options,
  bundles: string,
): EmulatedNode {
  const folder = join(host.stateFolder ?? '.', identity);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const machine = describeMachine(seed);
  writeFileSync(join(folder, 'facts.json'), JSON.stringify(machine.facts));
  writeFileSync(join(folder, 'classes.txt'), `${machine.classes.join('\n')}\n`);
  const shared = Object.fromEntries(Object.entries(host.config).filter(([, value]) => value !== undefined));
  return {
    id: identity,
    folder,
    services: ['server'],
    bundles: [bundles],
    stateFolder: join(folder, 'state'),
    shared: { ...shared, 'plugin.choria.middleware_hosts': brokers.join(',') },
    config: {
      identity,
      'plugin.choria.network.connect_timeout': connectTimeout,
      'plugin.yaml': join(folder, 'facts.json'),
      classesfile: join(folder, 'classes.txt'),
      rpcauthorization: hasMishaps(mishaps),
      rpcauthprovider: 'mishaps',
      'plugin.emulator.latency': mishaps.latency,
      'plugin.emulator.errors': mishaps.errors,
      'plugin.emulator.silence': mishaps.silence,
      'plugin.emulator.seed': seed,
    },
  };
}

function hasMishaps(options: Options): boolean {
  const { latencyMs, errors, silence } = readMishaps(options);
  return latencyMs[1] + errors + silence > 0;
}

/** Facts and classes that vary from node to node and are the same for the same seed. */
function describeMachine(seed: number): { facts: object; classes: string[] } {
  const pick = <T>(items: readonly [T, ...T[]], salt: number): T =>
    items[(Math.imul(seed + salt, 0x9e3779b1) >>> 16) % items.length] ?? items[0];
  const family = pick(['Debian', 'RedHat', 'Suse'] as const, 1);
  return {
    facts: {
      os: { family, release: { major: pick(['9', '11', '12'], 2) } },
      cpus: pick([2, 4, 8, 16, 32], 3),
      site: pick(['berlin', 'valletta', 'oslo', 'lisbon'], 4),
      emulated: true,
    },
    classes: ['role::emulated', `role::${pick(['web', 'db', 'cache', 'queue'], 5)}`],
  };
}
