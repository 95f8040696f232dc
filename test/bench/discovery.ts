// `npm run bench discovery`: nodes are found by a fact among 20,000 that the registry knows. The floor reads the same bucket with
// the client library alone: nothing is parsed, and no host stands between.

import { DeliverPolicy, jetstream } from '@nats-io/jetstream';
import { Kvm } from '@nats-io/kv';
import type { NatsConnection } from 'nats';
import { bucketName, type NodeRecord, recordBytes } from '../../plugins/registry/record.ts';
import { askSource } from '../support/discovery.ts';
import { Fleet } from '../support/fleet.ts';
import { temporaryFolder } from '../support/folders.ts';
import { startHost } from '../support/hosts.ts';
import { median, report } from './report.ts';

const nodes = 20_000;
const rounds = 5;
const asked = { facts: ['os.family=Debian', 'cpus>8'] };

function recordOf(index: number): NodeRecord {
  const now = Math.floor(Date.now() / 1000);
  const network = { eth0: { ip: `10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`, mtu: 1_500 } };
  const os = { family: index % 2 === 0 ? 'Debian' : 'RedHat', release: { major: String(9 + (index % 4)) } };
  return {
    ...{ identity: `n${index}.example.net`, state: 'present', seen: now, started: now, registered: now, version: '1.0.0' },
    collectives: ['mcollective'],
    agents: ['choria_util', 'discovery', 'file', 'host', 'package', 'process', 'rpcutil', 'service', 'shell'],
    classes: ['base', `role::r${index % 20}`, `site::s${index % 5}`],
    facts: {
      os,
      cpus: 2 ** (index % 6),
      memory: { total: 2 ** (30 + (index % 8)) },
      network,
      site: `s${index % 5}`,
      note: 'x'.repeat(300),
    },
  };
}

async function fill(connection: NatsConnection): Promise<void> {
  const bucket = await new Kvm(connection).create(bucketName, { history: 1 });
  for (let from = 0; from < nodes; from += 500)
    await Promise.all(
      Array.from({ length: 500 }, (_, index) => {
        const record = recordOf(from + index);
        return bucket.put(record.identity, recordBytes(record));
      }),
    );
}

/** Reads every entry, and does nothing with it. */
async function scan(connection: NatsConnection): Promise<number> {
  const consumer = await jetstream(connection).consumers.get(`KV_${bucketName}`, {
    deliver_policy: DeliverPolicy.LastPerSubject,
  });
  const messages = await consumer.consume({ max_messages: 1_024 });
  let read = 0;
  for await (const message of messages) {
    read += 1;
    if (message.info.pending === 0) break;
  }
  await consumer.delete();
  return read;
}

export async function run(): Promise<void> {
  const { path, remove } = temporaryFolder();
  const fleet = await Fleet.start({ 'plugin.choria.network.stream.store': path });
  const times = { floor: [] as number[], first: [] as number[], again: [] as number[], names: [] as number[] };
  let bytesRead = 0;
  let found = 0;
  try {
    const connection = await fleet.connection();
    await fill(connection);
    const before = connection.stats().inBytes;
    for (let round = 0; round < rounds; round += 1) {
      const begun = performance.now();
      const read = await scan(connection);
      if (read !== nodes) throw new Error(`the floor read ${read} entries of ${nodes}`);
      times.floor.push(performance.now() - begun);
    }
    bytesRead = (connection.stats().inBytes - before) / rounds;
    for (let round = 0; round < rounds; round += 1) {
      // Each is a command of its own: it connects, reads everything, and evaluates.
      const client = await startHost({
        distribution: true,
        strict: false,
        runtime: fleet.runtime,
        config: {
          ...(await fleet.certificate('operator.mcollective')),
          'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
        },
      });
      const time = async (list: number[], what: typeof asked | { identities: string[] }) => {
        const begun = performance.now();
        const { nodes: answer } = await askSource(client, 'registry', what);
        list.push(performance.now() - begun);
        return answer.length;
      };
      await time(times.names, { identities: ['n7.example.net', 'n19999.example.net'] });
      found = await time(times.first, asked);
      await time(times.again, asked);
      await client.stop();
    }
    const floor = median(times.floor);
    const row = (what: string, list: readonly number[]) => ({
      what,
      median: median(list),
      unit: 'ms',
      ratio: median(list) / floor,
    });
    report('discovery', `${nodes} nodes in the registry, ${found} found by two facts, ${rounds} rounds; ratios to the floor`, [
      { what: 'floor: all entries read with the client library', median: floor, unit: 'ms' },
      row('the first search of a client: connected, all read, filtered', times.first),
      row('a search of a client that follows the registry', times.again),
      row('two names looked up', times.names),
      { what: 'read from the broker by the floor, and by a first search', median: bytesRead / 1024 / 1024, unit: 'MiB' },
    ]);
  } finally {
    await fleet.stop();
    remove();
  }
}
