// A fleet under a rain of damaged messages: a node and a registry behind a real broker, a client that waits for replies, the
// routes of a federation, the protocol of plugins. Whatever comes, all of them go on, and say nothing that sounds like a fault.

import { PassThrough } from 'node:stream';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { NatsConnection } from 'nats';
import { Peer } from '../../core/protocol/peer.ts';
import { PipeCarrier } from '../../core/protocol/pipe.ts';
import { forwardReply, forwardRequest, RefusedError } from '../../plugins/federation/route.ts';
import type { CommandContext } from '../../plugins/fleet-client/commands/context.ts';
import type { Output } from '../../plugins/fleet-client/commands/output.ts';
import { jsonLinesOutput, jsonOutput } from '../../plugins/fleet-client/commands/req-json.ts';
import { tableOutput, textOutput } from '../../plugins/fleet-client/commands/req-text.ts';
import { Sink } from '../../plugins/fleet-client/commands/sink.ts';
import { findAction, readDdl } from '../../plugins/wire/ddl.ts';
import { broadcastSubject, identitySubject, nodeSubject } from '../../plugins/wire/subjects.ts';
import { Fleet, type TestClient } from './fleet.ts';
import { temporaryFolder, until } from './folders.ts';
import { Dice } from './fuzz-dice.ts';
import { busKinds, type FuzzParts, fuzzed, type Kind } from './fuzz-messages.ts';
import { startHost, type TestHost } from './hosts.ts';
import { Crafter } from './messages.ts';
import { hear, replyBytes } from './scripted-node.ts';

const [target, answerer, last, member, crowd] = ['fuzz.test', 'answerer.test', 'last.test', 'member.test', 'crowd'];
const weights: Readonly<Record<Kind, number>> = {
  request: 30,
  ping: 8,
  federated: 8,
  registration: 8,
  lifecycle: 6,
  namesake: 2,
  reply: 22,
  pong: 4,
  'federated reply': 4,
  line: 8,
};
const drawn = Object.entries(weights).flatMap(([kind, weight]) => Array<Kind>(weight).fill(kind as Kind));
/** The broker hangs up on whoever sends more. */
const maxBytes = 1_000_000;
/** Messages on their way at once. */
const atOnce = 256;
/** What must not reach a terminal as it is. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const raw = /[\0-\x08\x0b-\x1f\x7f-\x9f]/;

const action = findAction(
  readDdl(
    {
      metadata: { name: 'act', description: 'x', author: 'x', license: 'x', version: '1.0.0', url: 'x', timeout: 10 },
      actions: [
        {
          action: 'act',
          description: 'x',
          display: 'always',
          input: {},
          output: Object.fromEntries(
            ['cpus', 'load', 'site', 'list'].map((name) => [name, { description: name, display_as: name }]),
          ),
          aggregate: [
            { function: 'summary', args: ['site'] },
            { function: 'average', args: ['load'] },
            { function: 'chart', args: ['cpus'] },
            { function: 'process_summary', args: ['list'] },
          ],
        },
      ],
    },
    'fuzz',
  ),
  'act',
);

export interface Tallied {
  total: number;
  /** Still JSON. */
  json: number;
  /** As far as the check of the signature. */
  verified: number;
  /** What somebody said that means a fault. */
  readonly faults: string[];
}

export class FuzzRun {
  readonly tally: Tallied = { total: 0, json: 0, verified: 0, faults: [] };
  readonly #fleet: Fleet;
  readonly #node: TestHost;
  readonly #registry: TestHost;
  readonly #client: TestClient;
  readonly #nats: NatsConnection;
  readonly #parts: FuzzParts;
  readonly #removeStore: () => void;
  /** Replies and pongs to send when the client asks for some. */
  #replies: { kind: Kind; index: number }[] = [];
  #pongs: { kind: Kind; index: number }[] = [];

  private constructor(
    fleet: Fleet,
    node: TestHost,
    registry: TestHost,
    client: TestClient,
    nats: NatsConnection,
    parts: FuzzParts,
    removeStore: () => void,
  ) {
    [this.#fleet, this.#node, this.#registry, this.#client, this.#nats] = [fleet, node, registry, client, nats];
    this.#parts = parts;
    this.#removeStore = removeStore;
  }

  static async start(seed: number): Promise<FuzzRun> {
    const { path, remove } = temporaryFolder();
    const fleet = await Fleet.start({ 'plugin.choria.network.stream.store': path });
    const policy = ['policy default allow', 'deny\tchoria=nobody\t*\tsite=there\trole::db'];
    const facts = { site: 'here', name: 'a'.repeat(40), cpus: 4, version: '5.4.0', disks: [{ name: 'sda', size: 2 }] };
    const node = await fleet.node(target, {
      facts,
      classes: ['role::web'],
      policies: Object.fromEntries(['rpcutil', 'muster', 'choria_util'].map((agent) => [agent, policy])),
    });
    const registry = await startHost({
      distribution: true,
      runtime: fleet.runtime,
      services: ['registry'],
      config: {
        ...(await fleet.certificate('registry.test')),
        identity: 'registry.test',
        'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
      },
    });
    const client = await fleet.client('operator.mcollective', { collectives: `mcollective,${crowd}` });
    const nats = await fleet.connection();
    const [caller, own] = [await Crafter.of(fleet.authority, 'crafter.mcollective'), await Crafter.of(fleet.authority, member)];
    const parts = { seed, caller, member: own, otherSignature: caller.sign('another message'), target, answerer };
    const run = new FuzzRun(fleet, node, registry, client, nats, parts, remove);
    await until('the registry has its bucket', async () => (await run.#status(registry, 'registry')).healthy);
    run.#answer();
    await nats.flush();
    return run;
  }

  async stop(): Promise<void> {
    await this.#registry.stop();
    await this.#fleet.stop();
    this.#removeStore();
  }

  /** Messages `from` to below `to`. */
  async rain(from: number, to: number): Promise<void> {
    const onBus: { kind: Kind; index: number }[] = [];
    const lines: Uint8Array[] = [];
    for (let index = from; index < to; index += 1) {
      const kind = new Dice(this.#parts.seed + 1, index).pick(drawn);
      if ((busKinds as readonly Kind[]).includes(kind)) onBus.push({ kind, index });
      else if (kind === 'line') lines.push(this.#made(kind, index));
      else if (kind === 'pong') this.#pongs.push({ kind, index });
      else if (kind === 'reply') this.#replies.push({ kind, index });
      else this.#route(kind, this.#made(kind, index));
    }
    await Promise.all([this.#sendOnBus(onBus), this.#ask(from), this.#ping(), this.#speak(lines)]);
    this.#readLogs();
  }

  /** A good request, a good registration and a good ping are answered as if nothing had been. */
  async isWell(): Promise<void> {
    const { statuscode, data } = await this.#client.ask(target, 'rpcutil', 'get_fact', { fact: 'site' });
    if (statuscode !== 0 || (data as { value?: unknown }).value !== 'here')
      throw new Error(`the node answered something else: ${JSON.stringify([statuscode, data])}`);
    await until('the node is found', async () => (await this.#client.find()).includes(target));
    const { restarts, state } = this.#node.host.list('service').find(({ name }) => name === 'server') ?? {};
    if (restarts !== 0 || state !== 'ready') throw new Error(`the fleet server is ${state} after ${restarts} restarts`);
    await until('the registry is healthy', async () => (await this.#status(this.#registry, 'registry')).healthy);
    this.#readLogs();
  }

  /** Of this process, after what nobody holds any more was given back. */
  async heapMb(): Promise<number> {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    for (let round = 0; round < 4; round += 1) {
      collect();
      await new Promise((resolve) => setImmediate(resolve));
    }
    return process.memoryUsage().heapUsed / 1024 / 1024;
  }

  #made(kind: Kind, index: number, id?: string): Uint8Array {
    const payload = fuzzed(this.#parts, kind, index, id).subarray(0, maxBytes);
    this.tally.total += 1;
    try {
      JSON.parse(Buffer.from(payload).toString('utf8'));
      this.tally.json += 1;
    } catch {}
    return payload;
  }

  async #sendOnBus(messages: readonly { kind: Kind; index: number }[]): Promise<void> {
    for (let first = 0; first < messages.length; first += atOnce) {
      const before = await this.#heard();
      let forNode = 0;
      for (const { kind, index } of messages.slice(first, first + atOnce)) {
        const payload = this.#made(kind, index);
        if (kind === 'federated') this.#route(kind, payload);
        for (const subject of subjectsOf(kind)) this.#nats.publish(subject, payload);
        if (['request', 'ping', 'federated'].includes(kind)) forNode += 1;
      }
      await this.#nats.flush();
      await until('the node has taken them', async () => (await this.#heard()) >= before + forNode);
    }
  }

  async #heard(): Promise<number> {
    return (await this.#status(this.#node, 'server')).details.total ?? 0;
  }

  async #status(host: TestHost, name: string): Promise<{ healthy: boolean; details: Readonly<Record<string, number>> }> {
    return (await host.host.call('service', name, 'service/status', {})) as {
      healthy: boolean;
      details: Readonly<Record<string, number>>;
    };
  }

  /** The hosts of the fleet, by what they logged. */
  #readLogs(): void {
    for (const [who, { log }] of [
      ['node', this.#node],
      ['registry', this.#registry],
    ] as const)
      for (const { level, message, fields } of log.splice(0)) {
        if (fields.code === 'WIRE_SIGNATURE' || /^the signature of .* does not belong/s.test(message)) this.tally.verified += 1;
        const isKnown = message.startsWith('another node with the identity') || message.startsWith('the data plugin');
        const isFault = /^a message was not taken|^the connection to the broker was lost|it could not be read/.test(message);
        if (isFault || (level === 'error' && !isKnown)) this.tally.faults.push(`${who}: ${message.slice(0, 300)}`);
      }
  }

  async verified(): Promise<number> {
    const [node, registry] = [await this.#status(this.#node, 'server'), await this.#status(this.#registry, 'registry')];
    return this.tally.verified + (node.details.validated ?? 0) + (registry.details.registrations ?? 0);
  }

  #route(kind: Kind, payload: Uint8Array): void {
    try {
      if (kind === 'federated') forwardRequest(payload, 'oslo', ['a', 'b', 'c']);
      else forwardReply(payload, ['a', 'b', 'c']);
    } catch (error) {
      if (!(error instanceof RefusedError)) this.tally.faults.push(`federation: ${(error as Error).stack}`);
    }
  }

  /** One node that answers with all the damage that there is, and one that answers well and last. */
  #answer(): void {
    let waiting: { id: string; replyTo: string } | undefined;
    const say = (list: readonly { kind: Kind; index: number }[], { id, replyTo }: { id: string; replyTo: string }) => {
      for (const { kind, index } of list) this.#nats.publish(replyTo, this.#made(kind, index, id));
    };
    this.#nats.subscribe(nodeSubject('mcollective', answerer), {
      callback: (_error, { data }) => {
        waiting = hear(this.#nats, answerer, data, 1);
        say(this.#replies.splice(0), waiting);
        this.#nats.publish(waiting.replyTo, replyBytes({ id: waiting.id, agent: 'act' }, answerer, {}));
        this.#nats.publish(waiting.replyTo, replyBytes({ id: waiting.id, agent: 'act' }, last, {}));
      },
    });
    this.#nats.subscribe(broadcastSubject(crowd, 'discovery'), {
      callback: (_error, { data }) => {
        const heard = hear(this.#nats, answerer, data, 1);
        say(this.#pongs.splice(0), heard);
        this.#nats.publish(heard.replyTo, replyBytes({ id: heard.id, agent: 'discovery' }, last, {}));
      },
    });
  }

  async #ask(round: number): Promise<void> {
    let printed = '';
    const write = async (text: string) => {
      printed = text;
      if (raw.test(text)) this.tally.faults.push(`client: it would print ${JSON.stringify(text.slice(0, 2_000).match(raw))}`);
    };
    const sink = new Sink({ options: {}, host: { terminal: { write } } } as unknown as CommandContext);
    const outputs: Output[] = [
      textOutput(sink, action, { verbose: round % 2 === 0, color: false, sort: false, show: () => true }),
      tableOutput(sink, action),
      jsonOutput(sink, 'act', action),
      jsonLinesOutput(sink, action),
    ];
    const { replies, statistics, canary } = await this.#client.call({
      agent: 'act',
      action: 'act',
      data: {},
      targets: [answerer, last],
      timeoutMs: 60_000,
      replyFilter: 'code < 3 or data("load") > 2 or msg matches "x"',
      onReply: async (reply, _chosen, message) => {
        for (const output of outputs) await output.reply?.(reply, message);
      },
    });
    for (const output of outputs) await output.end({ replies, statistics, canary });
    await sink.flush();
    if (statistics.noResponses.length > 0 || printed === '') throw new Error('the last reply was not heard');
  }

  async #ping(): Promise<void> {
    let heard = false;
    const onAnswer = (sender: string) => {
      heard ||= sender === last;
    };
    await this.#client.fleet.ping({ collective: crowd, timeoutMs: 30_000, windowed: true, onAnswer });
    if (!heard) throw new Error('the last answer to a ping was not heard');
  }

  /** To one side of a conversation between a host and a plugin, which has calls open. */
  async #speak(lines: readonly Uint8Array[]): Promise<void> {
    const [input, output] = [new PassThrough(), new PassThrough()];
    output.resume();
    const echo = { 'echo/echo': { params: [['text']], result: [['text']] } };
    let asked = 0;
    const peer = new Peer({
      carrier: new PipeCarrier({ input, output, bytes: echo }),
      onRequest: (_method, params) => {
        asked += 1;
        return params;
      },
      onNotification: () => undefined,
    });
    const calls = Array.from({ length: 9 }, () => peer.call('echo/echo', { text: new Uint8Array(3) }).catch(() => undefined));
    for (const line of lines)
      input.write(Buffer.concat([Buffer.from(Buffer.from(line).filter((byte) => byte !== 10)), Buffer.from('\n')]));
    const before = asked;
    input.write('{"jsonrpc":"2.0","id":"good","method":"any","params":{}}\n');
    await until('a good line is heard', () => asked > before);
    peer.close(new Error('enough'));
    await Promise.all(calls);
  }
}

function subjectsOf(kind: Kind): string[] {
  switch (kind) {
    case 'ping':
      return [broadcastSubject('mcollective', 'discovery')];
    case 'registration':
      return [broadcastSubject('mcollective', 'registration')];
    case 'lifecycle':
      return ['choria.lifecycle.event.startup.server'];
    case 'namesake':
      return [identitySubject(target)];
    default:
      return [nodeSubject('mcollective', target)];
  }
}

/** The seed that is asked for; unasked the same for everybody, so that what passes here passes elsewhere. `random` is any. */
export function seedOf(asked: string | undefined): number {
  if (asked === 'random') return Math.floor(Math.random() * 2 ** 31);
  return asked === undefined || asked === '' ? 20_261_126 : Number(asked);
}

const perRound = 2_000;
const allowedGrowthMb = 24;

/** Lets it rain, and holds what came of it against what has to be. @throws Error with the seed */
export async function checkRain(
  run: FuzzRun,
  seed: number,
  { count, warmUp }: { count: number; warmUp: number },
): Promise<Tallied> {
  const rejections: unknown[] = [];
  const onRejection = (reason: unknown) => void rejections.push(reason);
  process.on('unhandledRejection', onRejection);
  let sent = 0;
  const upTo = async (total: number) => {
    for (; sent < total; sent += perRound) await run.rain(sent, Math.min(total, sent + perRound));
    return run.heapMb();
  };
  try {
    const before = await upTo(warmUp);
    const after = await upTo(count);
    await run.isWell();
    const { tally } = run;
    const verified = await run.verified();
    const problems = [
      ...tally.faults,
      ...rejections.map((reason) => `unhandled: ${(reason as Error | undefined)?.stack ?? String(reason)}`),
      ...(tally.total === count ? [] : [`${tally.total} of ${count} messages were sent`]),
      ...(tally.json >= count / 2 ? [] : [`only ${tally.json} of ${count} were still JSON`]),
      ...(verified >= count / 10 ? [] : [`only ${verified} of ${count} came to the check of the signature`]),
      ...(after - before <= allowedGrowthMb ? [] : [`the heap grew from ${before.toFixed(1)} to ${after.toFixed(1)} MB`]),
    ];
    return { ...tally, verified, faults: problems.length === 0 ? [] : [`FUZZ_SEED=${seed}`, ...problems] };
  } catch (error) {
    throw new Error(`FUZZ_SEED=${seed}, after ${sent} messages: ${[(error as Error).message, ...run.tally.faults].join('\n')}`, {
      cause: error,
    });
  } finally {
    process.off('unhandledRejection', onRejection);
  }
}
