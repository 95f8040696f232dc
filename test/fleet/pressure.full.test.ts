// A node under pressure: more calls than an agent takes, and a disk that is full.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { temporaryFolder, until, writeBundle } from '../support/folders.ts';

const main = join(distributionRoot(), 'core/cli/main.js');
const { path: folder, remove } = temporaryFolder();
let fleet: Fleet;
let client: TestClient;

const ddl = (name: string, more: object = {}) =>
  JSON.stringify({
    metadata: { name, description: name, author: 'x', license: 'x', version: '1.0.0', url: 'x', timeout: 30, ...more },
    actions: [{ action: 'go', description: 'Goes', display: 'always', input: {}, output: {} }],
  });

beforeAll(async () => {
  fleet = await Fleet.start();
  client = await fleet.client();
});
afterAll(async () => {
  await fleet.stop();
  remove();
});

test('500 slow calls to an agent that takes four at once: bounded, the rest told when to try again, the node fast for others', async () => {
  const slow = `import threading
from muster_plugin import Agent
agent = Agent("slow")
lock, running, most = threading.Lock(), 0, 0
@agent.action
def go(data, call):
    global running, most
    with lock:
        running += 1
        most = max(most, running)
    call.sleep(0.1)
    with lock:
        running -= 1
    return {"most": most}
agent.run()
`;
  const manifest =
    'bundle: slow\nversion: 1.0.0\nplugins:\n  - { kind: agent, name: slow, runner: persistent, command: [python3, ./slow.py], limits: { concurrency: 4, queue: 100 }, resources: { ddl: ./ddl.json } }\n';
  const bundles = join(folder, 'slow-bundles');
  writeBundle(bundles, 'slow', manifest, { 'slow.py': slow, 'ddl.json': ddl('slow') });
  await fleet.node('busy.test', { bundles: [bundles] });
  let left = 500;
  const calls = Array.from({ length: 500 }, async () => {
    const reply = await client.ask('busy.test', 'slow', 'go', {}, { timeoutMs: 30_000 });
    left -= 1;
    return reply;
  });
  await until('the first have been refused', () => left < 500);
  // Others are served while slow ones wait.
  expect(await client.ask('busy.test', 'rpcutil', 'ping', {}, { timeoutMs: 10_000 })).toMatchObject({ statuscode: 0 });
  expect(left).toBeGreaterThan(0);
  const replies = await Promise.all(calls);
  const done = replies.filter(({ statuscode }) => statuscode === 0);
  const refused = replies.filter(({ statuscode }) => statuscode === 1);
  expect(done.length + refused.length).toBe(500);
  expect(done.length).toBeGreaterThanOrEqual(104);
  expect(Math.max(...done.map(({ data }) => (data as { most: number }).most))).toBe(4);
  for (const { statusmsg } of refused)
    expect(statusmsg).toMatch(/^agent\/slow has 4 calls under way and 100 waiting; try again in \d+ ms$/);
  expect(refused.length).toBeGreaterThan(0);
});

test('a full disk: what needs room says so, the node lives, and all is well when there is room again', async () => {
  // A small disk of the node's own, which needs a mount namespace (util-linux; as root, or with user namespaces).
  const namespace = process.getuid?.() === 0 ? ['-m'] : ['-Urm'];
  const probe = spawnSync('unshare', [...namespace, 'mount', '-t', 'tmpfs', 'tmpfs', folder]);
  expect(probe.status, `this test needs unshare and mount with a tmpfs: ${probe.stderr}`).toBe(0);
  const [disk, libdir, config] = ['disk', 'lib', 'full.conf'].map((name) => join(folder, name)) as [string, string, string];
  const agents = join(libdir, 'mcollective/agent');
  mkdirSync(disk);
  mkdirSync(agents, { recursive: true });
  writeFileSync(join(agents, 'old'), '#!/bin/sh\nprintf \'{"activate":true,"data":{}}\' > "$CHORIA_EXTERNAL_REPLY"\n');
  chmodSync(join(agents, 'old'), 0o755);
  writeFileSync(join(agents, 'old.json'), ddl('old', { provider: 'external' }));
  utimesSync(join(agents, 'old.json'), 1, 1);
  const values = {
    ...(await fleet.certificate('full.test')),
    identity: 'full.test',
    'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
    'plugin.muster.state': join(disk, 'state'),
    libdir,
    rpcauthorization: false,
    rpcaudit: true,
    'plugin.rpcaudit.logfile': join(disk, 'audit.log'),
  };
  writeFileSync(
    config,
    Object.entries(values)
      .map(([key, value]) => `${key} = ${value}\n`)
      .join(''),
  );
  const script = 'mount -t tmpfs -o size=2m tmpfs "$1" && mkdir "$1/tmp" && shift && exec "$@"';
  const node = spawn(
    'unshare',
    [...namespace, 'sh', '-c', script, 'sh', disk, process.execPath, main, 'run', 'server', '--config', config],
    {
      env: { ...process.env, TMPDIR: join(disk, 'tmp') },
      stdio: ['ignore', 'ignore', 'pipe'],
    },
  );
  let log = '';
  node.stderr.on('data', (chunk: Buffer) => (log += chunk.toString()));
  try {
    const ask = (agent: string, action: string) => client.ask('full.test', agent, action, {}, { timeoutMs: 20_000 });
    await until('the node answers', async () => (await ask('old', 'go').catch(() => undefined))?.statuscode === 0, 30_000);
    // The disk as the node sees it.
    const ballast = join(`/proc/${node.pid}/root`, disk, 'ballast');
    const fill = spawnSync('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=4k']);
    expect(String(fill.stderr)).toContain('No space left on device');
    const reply = await ask('old', 'go');
    expect([reply.statuscode, reply.statusmsg]).toEqual([1, expect.stringMatching(/no space left on device/i)]);
    // What was begun of a file's last block may still have room for some records.
    const ledgerTrouble = /ledger\.jsonl can not be written: .*no space left on device.*; until it can, a restart forgets/i;
    await until('the log tells of the audit log and of the ledger', async () => {
      await ask('old', 'go');
      expect(await ask('rpcutil', 'ping')).toMatchObject({ statuscode: 0 });
      return /audit log.*no space left on device/i.test(log) && ledgerTrouble.test(log);
    });
    rmSync(ballast);
    expect(await ask('old', 'go')).toMatchObject({ statuscode: 0 });
    await until('the ledger is written again', async () => {
      await ask('old', 'go');
      return log.includes('ledger.jsonl is written again');
    });
    expect(node.exitCode).toBe(null);
  } finally {
    await end(node);
  }
});

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}
