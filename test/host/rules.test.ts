// Rules of the host that need a test of their own.

import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NatsConnection } from 'nats';
import { afterEach, describe, expect, test } from 'vitest';
import { controlSocketPath } from '../../core/host/control.ts';
import { Runtime } from '../../core/host/runtime.ts';
import { echoPlugin } from '../support/echo.ts';
import { Fleet } from '../support/fleet.ts';
import { isAlive, temporaryFolder, until, writeBundle } from '../support/folders.ts';
import { startHost, type TestHost, type TestHostOptions } from '../support/hosts.ts';

const open: { stop(): Promise<void> | void }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.stop();
});

function folderOf(): string {
  const { path, remove } = temporaryFolder();
  open.push({ stop: remove });
  return path;
}

async function start(options: TestHostOptions): Promise<TestHost> {
  const host = await startHost(options);
  open.push(host);
  return host;
}

test('what a plugin declared survives its crash, and is the next process’s', async () => {
  const folder = folderOf();
  echoPlugin(folder, {
    start: 'eager',
    needs: '{ process: [sleep] }',
    activate: `ask('process/start', { id: 'helper', command: ['sleep', '60'] }).then(done)`,
  });
  const { host } = await start({ bundles: [folder] });
  const helper = async () =>
    (
      (await host.call('echo', 'echo', 'echo/ask', { method: 'process/list', params: {} })) as {
        result: { processes: { pid: number }[] };
      }
    ).result.processes[0]?.pid;
  const pid = (await helper()) ?? 0;
  const before = host.list('echo')[0]?.pid ?? 0;
  process.kill(before, 'SIGKILL');
  await until('it runs again', () => host.list('echo')[0]?.pid !== before && host.list('echo')[0]?.state === 'ready');
  expect(await helper()).toBe(pid);
  expect(isAlive(pid)).toBe(true);
});

test('a changed inline bundle runs as a process until the next start, and the list says so', async () => {
  const folder = folderOf();
  const manifest = 'bundle: near\nversion: 1.0.0\nplugins:\n  - { kind: near, name: near, runner: inline, module: ./near.mjs }\n';
  const source = (answer: string) =>
    `export default { kind: 'near', version: '1', methods: { 'near/say': () => ({ said: '${answer}', pid: process.pid }) } };\n`;
  writeBundle(folder, 'near', manifest, { 'near.mjs': source('old') });
  const { host } = await start({ watched: [folder] });
  expect(await host.call('near', 'near', 'near/say', {})).toEqual({ said: 'old', pid: process.pid });
  expect(host.list('near')[0]?.runner).toBe('inline');
  writeFileSync(join(folder, 'near/near.mjs'), source('new'));
  const answer = await until('the new version answers', async () => {
    const said = (await host.call('near', 'near', 'near/say', {})) as { said: string; pid: number };
    return said.said === 'new' ? said : undefined;
  });
  expect(answer.pid).not.toBe(process.pid);
  expect(host.list('near')[0]?.runner).toBe('persistent');
});

test('a plugin with a switch is there only where the configuration turns it on, also after a reload', async () => {
  const folder = folderOf();
  const manifest = (version: string) => `bundle: lamp
version: ${version}
config:
  keys: { lamp.on: { type: boolean, default: false, description: Whether there is light } }
plugins:
  - { kind: lamp, name: lamp, runner: oneshot, command: [echo, "{}"], when: lamp.on }
  - { kind: lamp, name: window, runner: oneshot, command: [echo, "{}"] }
`;
  writeBundle(folder, 'lamp', manifest('1.0.0'));
  const dark = await start({ watched: [folder] });
  const lit = await start({ watched: [folder], config: { 'lamp.on': 'yes' } });
  const shine = ({ host }: TestHost) => host.call('lamp', 'lamp', 'lamp/shine', {});
  const expectSwitches = async (version: string) => {
    const told = ({ host }: TestHost) => host.list('lamp').map((entry) => `${entry.name} ${entry.version} ${entry.state}`);
    expect(told(dark).sort()).toEqual([`lamp ${version} off`, expect.stringMatching(`^window ${version} (idle|ready)$`)]);
    expect(told(lit)).toContainEqual(expect.stringMatching(`^lamp ${version} (idle|ready)$`));
    await expect(shine(dark)).rejects.toMatchObject({
      code: 'NOT_FOUND',
      message: 'lamp lamp is switched off: lamp.on is not true in the configuration',
    });
    expect(await shine(lit)).toEqual({});
  };
  await expectSwitches('1.0.0');
  writeBundle(folder, 'lamp', manifest('1.0.1'));
  const isNew = ({ host }: TestHost) => host.list('lamp').every(({ version }) => version === '1.0.1');
  await until('both have the new version', () => isNew(dark) && isNew(lit));
  await expectSwitches('1.0.1');
});

test('patterns of a contract run in linear time', async () => {
  const folder = folderOf();
  const contract = {
    kind: 'slowly',
    version: 1,
    description: 'A pattern that backtracks.',
    methods: {
      'slowly/match': {
        description: 'x',
        params: { type: 'object', properties: { text: { type: 'string', pattern: '^(a+)+$' } } },
        result: { type: 'object' },
      },
    },
  };
  writeBundle(
    folder,
    'slowly',
    'bundle: slowly\nversion: 1.0.0\ncontracts: [./contract.json]\nplugins:\n  - { kind: slowly, name: slowly, runner: oneshot, command: [cat] }\n',
    { 'contract.json': JSON.stringify(contract) },
  );
  const { host } = await start({ bundles: [folder] });
  const started = Date.now();
  await expect(host.call('slowly', 'slowly', 'slowly/match', { text: `${'a'.repeat(5_000)}!` })).rejects.toMatchObject({
    code: 'INVALID_PARAMS',
  });
  expect(Date.now() - started).toBeLessThan(10_000);
  expect(await host.call('slowly', 'slowly', 'slowly/match', { text: 'aaa' })).toEqual({ text: 'aaa' });
});

test('the control socket belongs to its owner alone, and goes when the host does', async () => {
  const running = await start({ control: true });
  const path = controlSocketPath(running.folder);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  await running.host.stop();
  expect(statSync(path, { throwIfNoEntry: false })).toBeUndefined();
});

test('many hosts in one process know nothing of one another', async () => {
  const runtime = new Runtime();
  const folders = Array.from({ length: 20 }, (_, index) => {
    const folder = folderOf();
    echoPlugin(folder, { version: `1.0.${index}` });
    return folder;
  });
  const hosts = await Promise.all(folders.map((folder) => start({ bundles: [folder], runtime })));
  const versions = await Promise.all(hosts.map(({ host }) => host.call('echo', 'echo', 'echo/version', {})));
  expect(versions).toEqual(folders.map((_, index) => ({ version: `1.0.${index}` })));
  const [first] = hosts;
  await first?.stop();
  expect(await hosts[1]?.host.call('echo', 'echo', 'echo/version', {})).toEqual({ version: '1.0.1' });
  for (const host of hosts) await host.stop();
  runtime.close();
});

describe('the bus', () => {
  test('hands over in order, at most 64 unanswered; past the limit the newest is dropped, counted and reported', async () => {
    const fleet = await Fleet.start();
    open.push(fleet);
    const folder = folderOf();
    const {
      'plugin.security.file.certificate': cert,
      'plugin.security.file.key': key,
      'plugin.security.file.ca': ca,
    } = await fleet.certificate('slow.test');
    const connect = JSON.stringify({ connection: 'bench', servers: [`nats://127.0.0.1:${fleet.port}`], tls: { cert, key, ca } });
    echoPlugin(folder, {
      start: 'eager',
      needs: '{ bus: { connections: [bench], open: true, subscribe: [stream] } }',
      activate: `ask('bus/open', ${connect}).then(() => ask('bus/subscribe', { connection: 'bench', id: 's', subject: 'stream', limit: 100 })).then(done)`,
      prelude: 'const held = []; const seen = []; let dropped = 0; let open = false;',
      methods: `'bus/message': (id, { payload }) => { seen.push(Number(Buffer.from(payload, 'base64').toString())); if (open) answer(id, {}); else held.push(id); },
        'bus/dropped': (_id, { count }) => { dropped += count; },
        'echo/release': (id) => { open = true; for (const one of held.splice(0)) answer(one, {}); answer(id, {}); },
        'echo/seen': (id) => answer(id, { seen, dropped, held: held.length }),`,
    });
    const running = await start({ bundles: [folder], strict: false } as TestHostOptions);
    type Seen = { seen: number[]; dropped: number; held: number };
    const seen = () => running.host.call('echo', 'echo', 'echo/seen', {}) as Promise<Seen>;
    await seen();
    const nats: NatsConnection = await fleet.connection();
    for (let number = 0; number < 500; number += 1) nats.publish('stream', String(number));
    await nats.flush();
    await until('the drops are reported', async () => (await seen()).dropped >= 500 - 64 - 100);
    expect(await seen()).toMatchObject({ held: 64, dropped: 500 - 64 - 100 });
    await running.host.call('echo', 'echo', 'echo/release', {});
    await until('the rest is handed over', async () => (await seen()).seen.length === 164);
    expect((await seen()).seen).toEqual(Array.from({ length: 164 }, (_, index) => index));
    expect(running.log.some(({ message }) => message === '336 messages were dropped, since the plugin did not keep up')).toBe(
      true,
    );
  });
});

test('reloading the broker bundle leaves nats-server running', async () => {
  const fleet = await Fleet.start();
  open.push(fleet);
  const broker = fleet.broker as TestHost;
  const { execFileSync } = await import('node:child_process');
  const pid = () =>
    execFileSync('pgrep', ['-f', `${broker.folder}/plugins/service.broker/state/nats-server.conf`], { encoding: 'utf8' }).trim();
  const before = pid();
  const plugin = broker.host.plugin('service', 'broker');
  if (!plugin) throw new Error('no broker');
  const version = await plugin.prepare({ ...plugin.spec, runner: 'persistent' });
  await (await version.commit()).drained;
  expect(pid()).toBe(before);
  expect(broker.host.list('service').find(({ name }) => name === 'broker')).toMatchObject({
    state: 'ready',
    runner: 'persistent',
  });
  const { connected } = { connected: await fleet.connection() };
  await connected.flush();
});
