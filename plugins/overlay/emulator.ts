// `emulate`: many hosts in one process, each with the real fleet server, a connection, facts and classes of its own.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Call, definePlugin, type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { brokerUrls } from '../wire/brokers.ts';
import { lifecycleSubject, readLifecycleEvent } from '../wire/lifecycle.ts';

interface Options {
  readonly nodes: number;
  readonly prefix: string;
  readonly seed: number;
}

/** Nodes that are started at the same time: their TLS handshakes share one event loop. */
const atOnce = 16;
/** Longest wait for the last of them to be connected. */
const arrivalMs = 120_000;

export default definePlugin({
  kind: 'command',
  version: '1.0.0',
  create: (host) => ({
    methods: {
      'command/run': async ({ options }: { options: Options }, call: Call) => {
        if (!Number.isInteger(options.nodes) || options.nodes < 1)
          throw new PluginError('INVALID_PARAMS', `--nodes takes a number of nodes, not ${options.nodes}`);
        const started = performance.now();
        const arrivals = await Arrivals.watch(host, options);
        await startAll(host, options, call.signal);
        await arrivals.complete(call.signal);
        const seconds = ((performance.now() - started) / 1000).toFixed(1);
        await host.terminal.write(
          `${options.nodes} nodes run in this process and are connected; it took ${seconds} s. Press Ctrl-C to stop them.\n`,
        );
        await new Promise((resolve) => call.signal.addEventListener('abort', resolve, { once: true }));
        return { exitCode: 0 };
      },
    },
  }),
});

/** Counts the nodes that have told the fleet that they are there. */
class Arrivals {
  readonly #awaited: Set<string>;
  #onComplete: () => void = () => undefined;
  readonly #complete = new Promise<void>((resolve) => {
    this.#onComplete = resolve;
  });

  private constructor({ nodes, prefix }: Options) {
    this.#awaited = new Set(Array.from({ length: nodes }, (_, index) => `${prefix}${index + 1}`));
  }

  static async watch(host: Host, options: Options): Promise<Arrivals> {
    const arrivals = new Arrivals(options);
    const { tls, callerid } = (await host.plugins.call('security', 'x509', 'security/identity', { role: 'client' })) as {
      tls: object;
      callerid: string;
    };
    const servers = brokerUrls(host.config['plugin.choria.middleware_hosts'] as readonly string[]);
    await host.bus.open({ connection: 'client', servers, name: callerid, tls });
    await host.bus.subscribe(
      { connection: 'client', id: 'arrivals', subject: lifecycleSubject('startup', 'server') },
      ({ payload }) => {
        const told = readLifecycleEvent(Buffer.from(payload).toString('utf8'));
        if (told && arrivals.#awaited.delete(told.event.identity) && arrivals.#awaited.size === 0) arrivals.#onComplete();
      },
    );
    return arrivals;
  }

  /** @throws PluginError if some are not there in time */
  async complete(signal: AbortSignal): Promise<void> {
    const late = sleep(arrivalMs, undefined, { signal, ref: false }).then(() => {
      const [first] = this.#awaited;
      throw new PluginError(
        'UNAVAILABLE',
        `${this.#awaited.size} nodes, ${first} among them, were not connected within ${arrivalMs / 1000} s`,
      );
    });
    await Promise.race([this.#complete, late]);
  }
}

async function startAll(host: Host, { nodes, prefix, seed }: Options, signal: AbortSignal): Promise<void> {
  const { interactive } = await host.terminal.info();
  let next = 1;
  const worker = async () => {
    while (next <= nodes && !signal.aborted) {
      const number = next;
      next += 1;
      await startNode(host, `${prefix}${number}`, seed * 1_000_003 + number);
      if (interactive && (number % 50 === 0 || number === nodes))
        await host.terminal.write(`\r${number} / ${nodes} nodes started`, 'stderr');
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, nodes) }, worker));
  if (interactive) await host.terminal.write('\n', 'stderr');
}

async function startNode(host: Host, identity: string, seed: number): Promise<void> {
  const folder = join(host.stateFolder ?? '.', identity);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const machine = describeMachine(seed);
  writeFileSync(join(folder, 'facts.json'), JSON.stringify(machine.facts));
  writeFileSync(join(folder, 'classes.txt'), `${machine.classes.join('\n')}\n`);
  const shared = Object.fromEntries(Object.entries(host.config).filter(([, value]) => value !== undefined));
  await host.control.startHost({
    id: identity,
    services: ['server'],
    stateFolder: join(folder, 'state'),
    config: {
      ...shared,
      identity,
      'plugin.yaml': join(folder, 'facts.json'),
      classesfile: join(folder, 'classes.txt'),
      rpcauthorization: false,
    },
  });
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
