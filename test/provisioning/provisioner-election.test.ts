// Several provisioners: who works, who takes over, what is said to all of them.

import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Election } from '../../plugins/wire/election.ts';
import { runMuster, writeConfig } from '../support/command.ts';
import { ProvisioningNetwork, statusOf } from '../support/enrolling-network.ts';
import { until } from '../support/folders.ts';
import { WaitingNode } from '../support/waiting-node.ts';

let network: ProvisioningNetwork;
let nodes: NatsConnection;
let overlay: NatsConnection;

beforeAll(async () => {
  network = await ProvisioningNetwork.start();
  nodes = await network.connection();
  overlay = await network.connection('overlay');
});
afterAll(() => network.stop());

const elects = { 'plugin.provisioner.leader_election': true };

test('one of two works; when it ends the other goes on, with a higher epoch', async () => {
  const first = await network.provisioner(elects);
  await until('it leads', async () => (await statusOf(first)).leads);
  const second = await network.provisioner(elects);
  const { epoch } = await statusOf(first);
  await until('the second stands by', async () => (await statusOf(second)).leader === 'prov.test');
  expect((await statusOf(second)).leads).toBe(false);
  let released: () => void = () => undefined;
  const held = new Promise<undefined>((resolve) => {
    released = () => resolve(undefined);
  });
  // The first stops while it waits for the restart, the node having been configured.
  const node = await new WaitingNode(nodes, {
    identity: 'n1.example.net',
    token: await network.token(),
    overlay,
    answer: ({ action, data }) => (action === 'restart' && data.epoch === epoch ? held.then(() => ({ times: 0 })) : undefined),
  }).start();
  await until('it is to restart', () => node.actions.includes('restart'));
  const since = performance.now();
  await first.stop();
  await until('the second leads', async () => (await statusOf(second)).leads);
  expect(performance.now() - since).toBeLessThan(10_000);
  await until('the node is up', async () => (await statusOf(second)).counters.up === 1);
  released();
  expect(node.actions).toEqual(['jwt', 'inventory', 'gencsr', 'configure', 'restart', 'restart']);
  expect(node.configured).toHaveLength(1);
  expect((await statusOf(second)).epoch).toBeGreaterThan(epoch);
  await second.stop();
});

test('pause holds for all of them, also for those that start later; status and resume by the command line', async () => {
  const file = writeConfig(network.folder, 'provisioner.conf', network.config());
  const patiently = ['--timeout', '20', '--config', file];
  const first = await network.provisioner();
  await until('it leads', async () => (await statusOf(first)).leads);
  expect(await runMuster(['provisioning', 'pause', ...patiently])).toMatchObject({ code: 0, err: '' });
  expect((await statusOf(first)).paused).toBe(true);
  await first.stop();
  const second = await network.provisioner();
  await until('it leads', async () => (await statusOf(second)).leads);
  const node = await new WaitingNode(nodes, { identity: 'n2.example.net', token: await network.token(), overlay }).start();
  await until('it is known', async () => (await statusOf(second)).queued === 1);
  const shown = await runMuster(['provisioning', 'status', ...patiently]);
  expect(shown.out).toMatch(/^prov\.test \(\w{8}\) leads, paused: epoch \d+, hook built-in-ca/);
  expect(shown.out).toContain('in work    seen 1');
  expect(node.asked).toEqual([]);
  expect(await runMuster(['provisioning', 'resume', ...patiently])).toMatchObject({ code: 0, err: '' });
  await until('the node is up', async () => (await statusOf(second)).counters.up === 1);
  await second.stop();
});

test('a leader that was stopped for too long leads no more, before anybody tells it', () => {
  let now = 0;
  const lost: string[] = [];
  const election = new Election({
    lease: { hold: (revision) => Promise.resolve(revision + 1), release: () => Promise.resolve() },
    ttlMs: 5_000,
    everyMs: 1_000_000,
    onWon: () => undefined,
    onLost: (reason) => void lost.push(reason),
    onTrouble: () => undefined,
    now: () => now,
  });
  election.start();
  return until('it leads', () => election.leads).then(async () => {
    now = 3_999;
    expect(election.leads).toBe(true);
    now = 4_000;
    expect(election.leads).toBe(false);
    await election.stop();
    expect(lost).toEqual(['it stops']);
  });
});
