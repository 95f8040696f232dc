// A broker of a cluster of two is killed while a request is under way: who was connected to it goes over to the other.

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { freePort, temporaryFolder, until, writeBundle } from '../support/folders.ts';

const { path: folder, remove } = temporaryFolder();
const runs = join(folder, 'runs.txt');
const names = ['n1.test', 'n2.test', 'n3.test', 'n4.test'];
let first: Fleet;
let second: Fleet;

const manifest = `bundle: slow
version: 1.0.0
plugins:
  - { kind: agent, name: slow, runner: oneshot, command: [sh, ./slow.sh], resources: { ddl: ./ddl.json } }
`;
/** Takes as long as the file says. */
const slow = `echo run >> ${runs}; sleep "$(cat ${folder}/seconds)"; printf '{"statuscode":0,"statusmsg":"OK","data":{}}'`;
const ddl = {
  metadata: { name: 'slow', description: 'x', author: 'x', license: 'x', version: '1.0.0', url: 'x', timeout: 20 },
  actions: [{ action: 'act', description: 'x', display: 'always', input: {}, output: {} }],
};

beforeAll(async () => {
  writeBundle(folder, 'slow', manifest, { 'slow.sh': slow, 'ddl.json': JSON.stringify(ddl) });
  const [one, two] = [await freePort(), await freePort()];
  const cluster = (own: number, other: number, identity: string) => ({
    identity,
    'plugin.choria.network.peer_port': own,
    'plugin.choria.network.peers': `127.0.0.1:${other}`,
  });
  first = await Fleet.start(cluster(one, two, 'one.broker.test'));
  second = await Fleet.start(cluster(two, one, 'two.broker.test'), first.authority);
  for (const name of names) await first.node(name, { bundles: [folder], config: both() });
  const client = await first.client('operator.mcollective', both());
  await until('all are seen across the cluster', async () => (await client.find()).join() === names.join());
});
afterAll(async () => {
  await first.stop();
  await second.stop();
  remove();
});

const both = () => ({ 'plugin.choria.middleware_hosts': `127.0.0.1:${first.port},127.0.0.1:${second.port}` });
const portOf = (client: TestClient) =>
  Number(
    String(client.log.filter(({ message }) => message.startsWith('connected to the broker')).at(-1)?.fields.server)
      .split(':')
      .at(-1),
  );

/** Kills the nats-server that a client is connected to, without a farewell. */
function killBrokerOf(client: TestClient): number {
  const port = portOf(client);
  const fleet = port === first.port ? first : second;
  execFileSync('pkill', ['-9', '-f', `${fleet.broker?.folder}/plugins/service.broker/state/nats-server.conf`]);
  return port;
}

const lines = () => readFileSync(runs, 'utf8').split('\n').length - 1;
const isWhole = () =>
  until(
    'both brokers are there',
    async () => {
      const states = await Promise.all(
        [first, second].map(({ broker }) => broker?.host.call('service', 'broker', 'service/status', {})),
      );
      return states.every((state) => (state as { healthy: boolean } | undefined)?.healthy);
    },
    60_000,
  );

/** A request during which the client's broker is killed once all nodes are at work. */
async function interrupted(client: TestClient, seconds: number, options: { timeoutMs: number; retries?: number }) {
  await isWhole();
  writeFileSync(join(folder, 'seconds'), String(seconds));
  writeFileSync(runs, '');
  const request = client.call({ agent: 'slow', action: 'act', data: {}, targets: names, ...options });
  await until('all nodes are at work', () => lines() === names.length);
  const killed = killBrokerOf(client);
  return { killed, begun: performance.now(), ...(await request) };
}

describe('a broker that is killed during a request', () => {
  test('is left for the other, where the replies arrive, and the next request is answered', async () => {
    const client = await first.client('patient.mcollective', both());
    const { killed, statistics } = await interrupted(client, 4, { timeoutMs: 20_000 });
    expect(statistics).toMatchObject({ responses: 4, ok: 4, noResponses: [], unexpectedResponses: [] });
    expect([first.port, second.port]).toContain(portOf(client));
    expect(portOf(client)).not.toBe(killed);
    expect(client.log.some(({ message }) => message === 'the connection to the broker was lost; connecting again')).toBe(true);
    expect(lines()).toBe(4);
    expect(await client.ask('n1.test', 'rpcutil', 'ping')).toMatchObject({ statuscode: 0 });
    expect(await client.find()).toEqual(names);
  });

  test('may cost replies, which are told of as missing when the time is up, and not later', async () => {
    const client = await first.client('hasty.mcollective', both());
    const { statistics, begun } = await interrupted(client, 0.2, { timeoutMs: 4_000 });
    expect(performance.now() - begun).toBeLessThan(15_000);
    expect(statistics.responses + statistics.noResponses.length).toBe(4);
    expect(statistics.ok).toBe(statistics.responses);
    expect(await client.ask('n1.test', 'rpcutil', 'ping')).toMatchObject({ statuscode: 0 });
  });

  test('costs nothing where nodes are asked again, and nothing is done twice', async () => {
    const client = await first.client('stubborn.mcollective', both());
    const { statistics } = await interrupted(client, 0.2, { timeoutMs: 3_000, retries: 9 });
    expect(statistics).toMatchObject({ responses: 4, ok: 4, noResponses: [] });
    expect(lines()).toBe(4);
  });
});
