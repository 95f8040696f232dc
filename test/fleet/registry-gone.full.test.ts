// Nodes that are long gone, in a registry that still knows them: their age is shown, and whoever asks them is not kept waiting.

import { Kvm } from '@nats-io/kv';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { NodeRecord } from '../../plugins/registry/record.ts';
import { runMuster, writeConfig } from '../support/command.ts';
import { patience } from '../support/discovery.ts';
import { Fleet } from '../support/fleet.ts';
import { temporaryFolder, until } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';

const { path: streams, remove } = temporaryFolder();
const days = 86_400;
const agent = { collectives: ['mcollective'], agents: ['rpcutil'], classes: [], facts: { site: 'oslo' } };
let fleet: Fleet;
let registry: TestHost;
let config: string;

beforeAll(async () => {
  fleet = await Fleet.start({ 'plugin.choria.network.stream.store': streams });
  const connection = { 'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}` };
  registry = await startHost({
    distribution: true,
    runtime: fleet.runtime,
    services: ['registry'],
    config: { ...(await fleet.certificate('registry.test')), identity: 'registry.test', ...connection },
  });
  await until('the registry has its bucket', async () => {
    const status = await registry.host.call('service', 'registry', 'service/status', {});
    return (status as { healthy: boolean }).healthy;
  });
  await fleet.node('here.test', {
    facts: { site: 'oslo' },
    config: {
      ...(await fleet.certificate('here.test')),
      registration: 'inventory_content',
      registerinterval: 1,
      registration_splay: false,
    },
  });
  const bucket = await new Kvm(await fleet.connection()).open('MUSTER_NODES');
  const now = Math.floor(Date.now() / 1000);
  const gone: readonly NodeRecord[] = [
    { identity: 'lost.test', state: 'present', seen: now - 30 * days, registered: now - 30 * days, ...agent },
    {
      identity: 'ended.test',
      state: 'stopped',
      seen: now - 2 * days,
      stopped: now - 2 * days,
      registered: now - 3 * days,
      ...agent,
    },
    // It died a moment ago, and nobody can know yet.
    { identity: 'dying.test', state: 'present', seen: now - 60, registered: now - 60, ...agent },
  ];
  for (const record of gone) await bucket.put(record.identity, JSON.stringify(record));
  await until('the node is registered', async () => (await bucket.get('here.test'))?.json<NodeRecord>().registered);
  config = writeConfig(fleet.folder, 'client.conf', {
    ...(await fleet.certificate('operator.mcollective')),
    identity: 'operator.mcollective',
    ...patience,
    ...connection,
  });
});
afterAll(async () => {
  await registry?.stop();
  await fleet?.stop();
  remove();
});

const muster = (...args: string[]) => runMuster([...args, '--dm', 'registry', '-F', 'site=oslo', '--config', config]);

test('they are left out, and the user is told how many and how to see them', async () => {
  const { code, out, err } = await muster('find');
  expect({ code, out }).toEqual({ code: 0, out: 'dying.test\nhere.test\n' });
  expect(err).toBe('warning: 2 nodes that stopped or fell silent are left out; --do stale=yes shows all\n');
});

test('their state and age are shown when they are asked for', async () => {
  const { out } = await muster('find', '-v', '--do', 'stale=yes');
  expect(out).toMatch(/^lost\.test +silent +720h\dm\d+s ago/m);
  expect(out).toMatch(/^ended\.test +stopped +48h\dm\d+s ago/m);
  expect(out).toMatch(/^dying\.test +present +\dm\d+s ago/m);
  expect(out).toMatch(/^here\.test +present +\S+s ago/m);
});

test('a request is answered by those that are there, and names the others when the usual time is up', async () => {
  const begun = performance.now();
  const { code, out } = await muster('req', 'rpcutil', 'ping', '--do', 'stale=yes', '--timeout', '4', '--json');
  expect(performance.now() - begun).toBeLessThan(30_000);
  expect(code).toBe(0);
  const { replies, request_stats: statistics } = JSON.parse(out);
  expect(replies.map(({ sender }: { sender: string }) => sender)).toEqual(['here.test']);
  expect(statistics).toMatchObject({
    discovered: 4,
    responses: 1,
    no_responses: ['dying.test', 'ended.test', 'lost.test'],
    unexpected_responses: [],
  });
  const shown = await muster('req', 'rpcutil', 'ping', '--timeout', '4');
  expect(shown.out).toMatch(/Finished processing 1 \/ 2 hosts in [4-9]\.?\d*s/);
  expect(shown.out).toMatch(/No Responses from: 1\n\n {4}dying\.test\n\nTo learn why, run: muster why \w+ -I NODE/);
});
