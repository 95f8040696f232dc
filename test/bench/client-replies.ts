// The client alone on recorded replies: opened, verified, decoded, counted and aggregated, against a bare loop; and what memory
// it needs when they are streamed.

import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { embed } from '../../core/host/embed.ts';
import type { BusMessage, Host } from '../../core/sdk/typescript/index.ts';
import { Aggregator } from '../../plugins/fleet-client/aggregate.ts';
import { clientNeeds, FleetClient } from '../../plugins/fleet-client/client.ts';
import { callRpc } from '../../plugins/fleet-client/request.ts';
import { issueFiles, openAuthority } from '../../plugins/overlay/ca.ts';
import { findAction, readDdl } from '../../plugins/wire/ddl.ts';
import { temporaryFolder } from '../support/folders.ts';
import { hear, replyBytes } from '../support/scripted-node.ts';
import { countReplies } from './floor/replies.mjs';
import { median, report } from './report.ts';

const rounds = 5;
const count = 50_000;
/** About what one read of a socket holds. */
const perTurn = 64;
/** How often the same replies come when memory is looked at. */
const streamed = 6;
const growthBoundMb = 8;

const targets = Array.from({ length: count }, (_, index) => `node${index}.example.net`);
const output = (name: string) => ({ description: name, display_as: name });
const action = findAction(
  readDdl(
    {
      metadata: { name: 'bench', description: 'x', author: 'x', license: 'x', version: '1', url: 'x', timeout: 60 },
      actions: [
        {
          action: 'act',
          description: 'x',
          input: {},
          output: { release: output('Release'), load: output('Load'), uptime: output('Uptime') },
          aggregate: [
            { function: 'summary', args: ['release'] },
            { function: 'average', args: ['load'] },
          ],
        },
      ],
    },
    'bench',
  ),
  'act',
);

function dataOf(index: number): object {
  return {
    release: `12.${index % 20}`,
    load: (index % 400) / 100,
    uptime: index * 13,
    kernel: '6.1.0-28-amd64',
    disks: ['sda', 'sdb'],
  };
}

export async function run(): Promise<void> {
  const { path, remove } = temporaryFolder();
  const { cert, key, ca } = await issueFiles(await openAuthority(path, 'Bench CA'), { commonName: 'operator.mcollective' });
  await using embedded = await embed({
    needs: clientNeeds,
    config: {
      identity: 'operator.mcollective',
      'plugin.security.provider': 'file',
      'plugin.security.file.certificate': cert,
      'plugin.security.file.key': key,
      'plugin.security.file.ca': ca,
    },
  });
  try {
    const rates: { bare: number[]; client: number[] } = { bare: [], client: [] };
    for (let round = -1; round < rounds; round += 1) {
      const { payloads, rate } = await ask(embedded.host, 1);
      const bare = bareRate(payloads);
      // The first round warms up.
      if (round < 0) continue;
      rates.bare.push(bare);
      rates.client.push(rate);
    }
    const { growthMb } = await ask(embedded.host, streamed);
    const ratio = median(rates.client) / median(rates.bare);
    report('client-replies', `${rounds} rounds of ${count} recorded replies, Node ${process.version}`, [
      { what: 'open, hash, decode, count (floor)', median: median(rates.bare), unit: 'replies/s' },
      { what: 'the client', median: median(rates.client), unit: 'replies/s', ratio, bound: '≥ 0.33', met: ratio >= 0.33 },
      {
        what: `heap that ${(count * (streamed - 2)).toLocaleString('en')} streamed replies add`,
        median: growthMb,
        unit: 'MB',
        bound: `≤ ${growthBoundMb}`,
        met: growthMb <= growthBoundMb,
      },
    ]);
  } finally {
    remove();
  }
}

/** @throws Error if a reply is missing */
function bareRate(payloads: readonly Uint8Array[]): number {
  const begun = performance.now();
  const counts = countReplies(payloads, 'release');
  if ([...counts.values()].reduce((sum, value) => sum + value, 0) !== count) throw new Error('a reply is missing');
  return count / ((performance.now() - begun) / 1000);
}

/** One request, to which the recorded replies come so many times. @throws Error if a reply is missing */
async function ask(host: Host, times: number): Promise<{ payloads: Uint8Array[]; rate: number; growthMb: number }> {
  const bus = new RecordedBus(host.bus, times);
  const client = new FleetClient({ ...host, bus });
  const aggregator = new Aggregator(action);
  const growth = new HeapGrowth(times > 1);
  const { statistics } = await callRpc(client, {
    agent: 'bench',
    action: 'act',
    data: {},
    targets,
    batchSize: count,
    timeoutMs: 120_000,
    keepReplies: false,
    onReply: ({ data }) => {
      aggregator.add(data);
      growth.sample();
    },
  });
  const seconds = (performance.now() - bus.begun) / 1000;
  const [load, release] = aggregator.results();
  if (
    statistics.responses !== count * times - (times - 1) ||
    statistics.noResponses.length > 0 ||
    Object.keys(release?.result ?? {}).length !== 20 ||
    load?.lines.length !== 1
  )
    throw new Error('a reply is missing');
  return { payloads: bus.payloads, rate: statistics.responses / seconds, growthMb: growth.mb };
}

/** A bus that hears one request and has the replies of all nodes to it. */
class RecordedBus {
  payloads: Uint8Array[] = [];
  begun = 0;
  open: Host['bus']['open'];
  close: Host['bus']['close'];
  info: Host['bus']['info'];
  readonly #times: number;
  #deliver: (message: BusMessage) => unknown = () => undefined;
  #published = 0;

  constructor(bus: Host['bus'], times: number) {
    this.open = () => Promise.resolve({});
    this.close = () => Promise.resolve();
    this.info = bus.info;
    this.#times = times;
  }

  publish: Host['bus']['publish'] = ({ payload }) => {
    this.#published += 1;
    if (this.#published === 1) {
      const { id, agent } = hear(undefined as never, '', payload, 1);
      this.payloads = targets.map((target, index) => replyBytes({ id, agent }, target, { data: dataOf(index) }));
    }
    if (this.#published === count) {
      this.begun = performance.now();
      setImmediate(() => this.#play(0));
    }
    return Promise.resolve();
  };

  subscribe: Host['bus']['subscribe'] = (_spec, handler) => {
    this.#deliver = handler;
    return Promise.resolve();
  };

  unsubscribe: Host['bus']['unsubscribe'] = () => Promise.resolve();

  #play(from: number): void {
    for (let index = from; index < from + perTurn; index += 1) {
      const payload = this.payloads[index % count];
      const isLast = index === count * this.#times - 1;
      // Until the end, the last node is waited for.
      const isHeard = index % count < count - 1 || isLast;
      if (payload && isHeard && index < count * this.#times) this.#deliver({ subscription: '', subject: '', payload });
    }
    if (from + perTurn < count * this.#times) setImmediate(() => this.#play(from + perTurn));
  }
}

/** How much the heap grows between two samples, garbage taken away. */
class HeapGrowth {
  mb = 0;
  readonly #collect: (() => void) | undefined;
  #count = 0;
  #first: number | undefined;

  constructor(isOn: boolean) {
    if (!isOn) return;
    setFlagsFromString('--expose-gc');
    this.#collect = runInNewContext('gc') as () => void;
  }

  sample(): void {
    this.#count += 1;
    // By the second time round, the names of all nodes are known; they stay, the replies don't.
    if (!this.#collect || this.#count % count !== 0 || this.#count < 2 * count) return;
    this.#collect();
    const { heapUsed } = process.memoryUsage();
    this.#first ??= heapUsed;
    this.mb = Math.max(this.mb, (heapUsed - this.#first) / 2 ** 20);
  }
}
