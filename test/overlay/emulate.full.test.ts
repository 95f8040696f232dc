// Many nodes in a few processes, each with the real fleet server and a connection of its own.

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { patience } from '../support/discovery.ts';
import { Fleet } from '../support/fleet.ts';
import { until } from '../support/folders.ts';

const main = join(distributionRoot(), 'core/cli/main.js');
const count = 200;
let fleet: Fleet;
let emulator: ChildProcess;
let config: string;

beforeAll(async () => {
  fleet = await Fleet.start();
  const certificate = await fleet.certificate('operator.mcollective');
  config = join(fleet.folder, 'client.conf');
  const lines = Object.entries({
    ...certificate,
    identity: 'operator.mcollective',
    'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
    ...patience,
    discovery_timeout: 20,
  });
  writeFileSync(config, lines.map(([key, value]) => `${key} = ${value}\n`).join(''));
  emulator = spawn(process.execPath, [main, 'emulate', '--nodes', String(count), '--config', config], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  emulator.stdout?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await until('all nodes are connected', () => text.includes(`${count} nodes run in this process and are connected`), 120_000);
}, 180_000);
afterAll(async () => {
  emulator.kill('SIGINT');
  await once(emulator, 'exit');
  await fleet.stop();
});

const muster = (...args: string[]) =>
  execFileSync(process.execPath, [main, ...args, '--config', config], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });

test('every one of them answers a ping, a filter and a request', () => {
  const ping = JSON.parse(muster('ping', '--expect', String(count), '--timeout', '20', '--json')) as {
    statistics: { replies: number };
    duplicates: string[];
  };
  expect(ping).toMatchObject({ statistics: { replies: count }, duplicates: [] });
  const web = JSON.parse(muster('find', '-C', 'role::web', '--json')) as string[];
  expect(web.length).toBeGreaterThan(0);
  expect(web.length).toBeLessThan(count);
  const facts = JSON.parse(muster('facts', 'os.family', '--json')) as Record<string, { count: number }>;
  expect(Object.values(facts).reduce((sum, { count: nodes }) => sum + nodes, 0)).toBe(count);
  const load = JSON.parse(muster('req', 'rpcutil', 'ping', '--json')) as {
    request_stats: { ok: number; no_responses: string[] };
  };
  expect(load.request_stats).toMatchObject({ ok: count, no_responses: [] });
});

test('their facts are the same at every start', () => {
  const one = JSON.parse(muster('req', 'rpcutil', 'get_fact', 'fact=os.family', '-I', 'emulated1', '--json')) as {
    replies: { data: { value: string } }[];
  };
  expect(['Debian', 'RedHat', 'Suse']).toContain(one.replies[0]?.data.value);
});

test('over several processes, with latency, errors and silence', async () => {
  const mishaps = ['--latency', '5-50', '--errors', '30%', '--silence', '20%'];
  const args = ['emulate', '--nodes', '60', '--processes', '2', '--prefix', 'clumsy', ...mishaps, '--config', config];
  const clumsy = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  clumsy.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await until('all are connected', () => text.includes('60 nodes run in 2 processes and are connected'), 60_000);
  const { request_stats: statistics, replies } = JSON.parse(
    muster('req', 'rpcutil', 'ping', '-I', '/^clumsy/', '--json', '--timeout', '8'),
  ) as { request_stats: { ok: number; failed: number; no_responses: string[] }; replies: { statusmsg: string }[] };
  const { ok, failed, no_responses: silent } = statistics;
  expect(ok + failed + silent.length).toBe(60);
  expect(Math.min(ok, failed, silent.length)).toBeGreaterThan(0);
  expect(replies.filter(({ statusmsg }) => statusmsg === 'You are not authorized to call this agent or action')).toHaveLength(
    failed,
  );
  clumsy.kill('SIGINT');
  const [code] = await once(clumsy, 'exit');
  expect(code).toBe(0);
});

test.each([
  [['--latency', '9-5'], "--latency takes milliseconds such as 50 or 10-500, not '9-5'"],
  [['--latency', 'soon'], "--latency takes milliseconds such as 50 or 10-500, not 'soon'"],
  [['--errors', '101%'], "--errors takes a percentage such as 1 or 0.5%, not '101%'"],
  [['--errors', '60', '--silence', '60'], '--errors and --silence together are more than 100 %'],
  [['--nodes', '2', '--processes', '3'], "2 nodes can't be spread over 3 processes"],
])('%j is refused', (flags, message) => {
  const { status, stderr } = spawnSync(process.execPath, [main, 'emulate', ...flags, '--config', config], { encoding: 'utf8' });
  expect([status, stderr]).toEqual([1, `muster: ${message}\n`]);
});
