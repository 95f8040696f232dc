// Clocks that are minutes apart: the node drops what is older than its time to live, and the user is told why.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { Clocks } from '../../plugins/fleet-client/clocks.ts';
import { runMuster, writeConfig } from '../support/command.ts';
import { patience } from '../support/discovery.ts';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { until } from '../support/folders.ts';
import { hear, replyBytes, scriptedNode } from '../support/scripted-node.ts';

const minutes = 60_000;
const behindMs = 4 * minutes;
let fleet: Fleet;
let client: TestClient;
let nats: NatsConnection;
let node: ChildProcess;
let log = '';
let config: string;

/** A real node, in whose process the clock is four minutes behind. */
async function startBehind(): Promise<ChildProcess> {
  const preload = join(fleet.folder, 'behind.mjs');
  writeFileSync(
    preload,
    `const now = Date.now;
Date.now = () => now() - ${behindMs};
globalThis.Date = new Proxy(Date, { construct: (target, given) => new target(...(given.length > 0 ? given : [target.now()])) });
`,
  );
  const values = {
    ...(await fleet.certificate('behind.test')),
    identity: 'behind.test',
    'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
    'plugin.muster.state': join(fleet.folder, 'behind-state'),
    rpcauthorization: false,
  };
  const file = writeConfig(fleet.folder, 'behind.conf', values);
  const child = spawn(
    process.execPath,
    ['--import', preload, join(distributionRoot(), 'core/cli/main.js'), 'run', 'server', '--config', file],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  child.stderr?.on('data', (part: Buffer) => {
    log += part.toString();
  });
  await until('the node serves', () => log.includes('node behind.test serves')).catch((error: Error) => {
    throw new Error(`${error.message}: ${log}`);
  });
  return child;
}

beforeAll(async () => {
  fleet = await Fleet.start();
  client = await fleet.client();
  nats = await fleet.connection();
  await fleet.node('right.test');
  config = writeConfig(fleet.folder, 'client.conf', {
    ...(await fleet.certificate('operator.mcollective')),
    identity: 'operator.mcollective',
    ...patience,
    'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
  });
  node = await startBehind();
});
afterAll(async () => {
  node?.kill('SIGTERM');
  if (node && node.exitCode === null) await once(node, 'exit');
  await fleet.stop();
});

test('a node whose clock is behind drops a request, and its log names both machines', async () => {
  const { statistics } = await client.call({
    agent: 'rpcutil',
    action: 'ping',
    data: {},
    targets: ['behind.test', 'right.test'],
    timeoutMs: 3_000,
  });
  expect(statistics).toMatchObject({ responses: 1, noResponses: ['behind.test'] });
  await until('its log names both', () =>
    /it was made 2[34]\d s in the future and lives for 60 s; compare the clocks of behind\.test and operator\.mcollective/.test(
      log,
    ),
  );
  const { out, err } = await runMuster(['why', statistics.requestId, '-I', 'behind.test', '--config', config]);
  expect(out).toMatch(/expired: by the clock of behind\.test it was made 2[34]\d s in the future, its TTL is 60 s/);
  expect(err).toMatch(
    /^warning: clocks differ from the one of this machine: that of behind\.test is (3m5\ds|4m\ds) behind; a node drops requests that are off by its clock by 60 s or more; set the clocks by NTP$/m,
  );
});

test('`muster ping` shows the node, since it is there, and says what its clock is', async () => {
  const { code, out, err } = await runMuster(['ping', '--names', '--timeout', '5', '--config', config]);
  expect(code).toBe(0);
  expect(out.trim().split('\n').sort()).toEqual(['behind.test', 'right.test']);
  expect(err).toMatch(/^warning: clocks differ .*that of behind\.test is (3m5\ds|4m\ds) behind; a node drops requests/);
});

test('clocks that agree are not spoken of', async () => {
  const { err } = await runMuster(['ping', '-I', 'right.test', '--timeout', '3', '--config', config]);
  expect(err).toBe('');
});

test('a node that answers still, but is half a minute off, is told of in time', async () => {
  await scriptedNode(nats, 'ahead.test', (heard) =>
    nats.publish(heard.replyTo, replyBytes(heard, 'ahead.test', { time: heard.time + 30 })),
  );
  const { statistics } = await client.call({ agent: 'act', action: 'act', data: {}, targets: ['ahead.test'], timeoutMs: 20_000 });
  expect(statistics.ok).toBe(1);
  expect(statistics.clocks).toEqual([expect.stringMatching(/that of ahead\.test is (2\d|30|31)s ahead; /)]);
});

test('where all nodes differ by the same, it is the clock of the client', async () => {
  const told: number[] = [];
  const clocks = new Clocks();
  nats.subscribe('crowd.broadcast.agent.discovery', {
    callback: (_error, { data }) => {
      const heard = hear(nats, '', data, 1);
      for (const name of ['a.test', 'b.test', 'c.test'])
        nats.publish(heard.replyTo, replyBytes(heard, name, { time: heard.time + 300 }));
    },
  });
  await nats.flush();
  const crowd = await fleet.client('crowd.mcollective', { collectives: 'mcollective,crowd' });
  await crowd.fleet.ping({
    collective: 'crowd',
    timeoutMs: 20_000,
    expect: 3,
    onAnswer: (sender, _ms, time) => {
      told.push(time);
      clocks.note(sender, time, Date.now());
    },
  });
  expect(told).toHaveLength(3);
  expect(clocks.warnings(60)).toEqual([
    expect.stringMatching(/^the clock of this machine is (4m5\ds|5m0s|5m1s) behind, by those of 3 nodes; /),
  ]);
});
