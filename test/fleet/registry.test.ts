// What the registry keeps of nodes that come, tell of themselves and go, and how clients find nodes by it.

import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Kvm } from '@nats-io/kv';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { afterEvent, afterRegistration, isKey, type NodeRecord, stateOf } from '../../plugins/registry/record.ts';
import { inventoryMessage } from '../../plugins/wire/registration.ts';
import { type Answer, type Asked, askSource } from '../support/discovery.ts';
import { Fleet, type NodeOptions } from '../support/fleet.ts';
import { temporaryFolder, until } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';
import { Crafter } from '../support/messages.ts';

const main = join(distributionRoot(), 'core/cli/main.js');
const { path: streams, remove } = temporaryFolder();
let fleet: Fleet;
let raw: NatsConnection;

const host = async (name: string, extra: object, inlineAs?: 'persistent'): Promise<TestHost> =>
  startHost({
    distribution: true,
    runtime: fleet.runtime,
    ...(inlineAs && { inlineAs }),
    ...extra,
    config: { ...(await fleet.certificate(name)), identity: name, 'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}` },
  });
const startRegistry = (inlineAs?: 'persistent') => host('registry.test', { services: ['registry'] }, inlineAs);
const node = async (identity: string, options: NodeOptions) =>
  fleet.node(identity, {
    ...options,
    config: {
      ...(await fleet.certificate(identity)),
      registration: 'inventory_content',
      registerinterval: 1,
      registration_splay: false,
      ...options.config,
    },
  });
const bucket = () => new Kvm(raw).open('MUSTER_NODES');
const recordOf = async (identity: string): Promise<NodeRecord | undefined> => {
  const entry = await (await bucket()).get(identity).catch(() => null);
  return entry ? entry.json<NodeRecord>() : undefined;
};
const status = async (registry: TestHost) =>
  (await registry.host.call('service', 'registry', 'service/status', {})) as { healthy: boolean; details: { refused: number } };

beforeAll(async () => {
  fleet = await Fleet.start({ 'plugin.choria.network.stream.store': streams });
  raw = await fleet.connection();
});
afterAll(async () => {
  await fleet.stop();
  remove();
});

describe.each(['inline', 'persistent'] as const)('%s', (runner) => {
  const name = (short: string) => `${short}.${runner}.test`;
  const inlineAs = runner === 'persistent' ? runner : undefined;
  let registry: TestHost;
  let client: TestHost;
  let web: TestHost;
  const find = (asked: Asked = {}): Promise<Answer> => askSource(client, 'registry', asked);
  /** Names of this run, without the ending. */
  const names = async (asked: Asked = {}) =>
    (await find(asked)).nodes
      .filter(({ identity }) => identity.endsWith(name('').slice(1)))
      .map(({ identity }) => identity.split('.')[0])
      .sort();

  beforeAll(async () => {
    registry = await startRegistry(inlineAs);
    await until('the registry has its bucket', async () => (await status(registry)).healthy);
    client = await host('operator.mcollective', {}, inlineAs);
    web = await node(name('web'), { classes: ['role::web'], facts: { cores: 8, os: { family: 'Debian' } } });
    await node(name('db'), { classes: ['role::db'], facts: { cores: 2 }, config: { collectives: 'mcollective, ops' } });
    for (const short of ['web', 'db'])
      await until(`${short} is registered`, async () => (await recordOf(name(short)))?.registered);
  });
  afterAll(async () => {
    await client?.stop();
    await registry?.stop();
  });

  test('a record has what a node said of itself', async () => {
    const record = await recordOf(name('web'));
    expect(record).toMatchObject({
      identity: name('web'),
      state: 'present',
      collectives: ['mcollective'],
      classes: ['role::web'],
      facts: { cores: 8, os: { family: 'Debian' } },
    });
    expect(record?.agents).toEqual(expect.arrayContaining(['discovery', 'rpcutil', 'host']));
    expect(Math.abs((record?.seen ?? 0) - Date.now() / 1000)).toBeLessThan(30);
    expect(record?.version).toBe(fleet.runtime.version);
  });

  test('nodes are found by every kind of filter', async () => {
    expect(await names()).toEqual(['db', 'web']);
    expect(await names({ facts: ['os.family=Debian', 'cores>4'] })).toEqual(['web']);
    expect(await names({ classes: ['role::db'] })).toEqual(['db']);
    expect(await names({ agents: ['host'], agent: 'rpcutil' })).toEqual(['db', 'web']);
    expect(await names({ identities: ['/^db/'] })).toEqual(['db']);
    expect(await names({ identities: [name('db'), name('nobody')] })).toEqual(['db']);
    expect(await names({ compound: 'with("role::web") or fact("cores") < 1' })).toEqual(['web']);
    expect(await names({ collective: 'ops' })).toEqual(['db']);
  });

  test('what a node tells anew is found a moment later', async () => {
    const own = join(fleet.folder, `${name('moving')}.json`);
    writeFileSync(own, '{"site": "oslo"}');
    await node(name('moving'), { config: { 'plugin.yaml': own } });
    await until('it is in oslo', async () => (await names({ facts: ['site=oslo'] })).length === 1);
    writeFileSync(own, '{"site": "bergen"}');
    await until('it is in bergen', async () => (await names({ facts: ['site=bergen'] })).length === 1);
    expect(await names({ facts: ['site=oslo'] })).toEqual([]);
  });

  test('of a node that never registered no more than its name is known', async () => {
    await node(name('shy'), { config: { registration: '' } });
    await until('it is known', () => recordOf(name('shy')));
    expect(await names({ identities: [name('shy')] })).toEqual(['shy']);
    // All are followed, and what is followed lags a little behind what is looked up.
    await until('it is followed', async () => (await names({ identities: ['/^shy/'], agent: 'rpcutil' })).join() === 'shy');
    expect(await names({ compound: 'true' })).not.toContain('shy');
    expect(await names({ agents: ['host'] })).not.toContain('shy');
  });

  test('a node that stops is left out, with a word about it, unless it is asked for', async () => {
    await web.stop();
    await until('it has stopped', async () => (await recordOf(name('web')))?.state === 'stopped');
    const gone = { identities: [name('web')] };
    expect(await find(gone)).toEqual({
      nodes: [],
      notes: ['1 node that stopped or fell silent is left out; --do stale=yes shows all'],
    });
    const stale = await find({ ...gone, options: { stale: 'yes' } });
    expect(stale).toMatchObject({ nodes: [{ identity: name('web'), state: 'stopped', seen: expect.any(Number) }], notes: [] });
    web = await node(name('web'), { classes: ['role::web'], facts: {} });
    await until('it is there again', async () => (await recordOf(name('web')))?.state === 'present');
  });

  test('a node that nobody hears of is silent', async () => {
    const old: NodeRecord = { identity: name('old'), state: 'present', seen: Math.floor(Date.now() / 1000) - 5_000 };
    await (await bucket()).put(name('old'), JSON.stringify(old));
    await until(
      'it is known',
      async () => (await find({ identities: [`/^old.${runner}/`], options: { stale: 'yes' } })).nodes.length > 0,
    );
    expect((await find({ identities: [`/^old.${runner}/`], options: { stale: 'yes' } })).nodes).toEqual([
      { identity: name('old'), state: 'silent', seen: old.seen },
    ]);
    expect(await names({ identities: [`/^old.${runner}/`] })).toEqual([]);
  });

  test('a registration that somebody else signed, or that is old, changes nothing', async () => {
    const { refused } = (await status(registry)).details;
    const document = { agents: [], classes: ['evil'], facts: {}, status: {}, collectives: [], machines: [] };
    const body = inventoryMessage({ ...document, build_info: { version: '1', sha: '' } }, true);
    // Its sender is `crafter.test`, whatever it is signed with.
    const other = await Crafter.of(fleet.authority, 'mallory.test');
    const own = await Crafter.of(fleet.authority, 'crafter.test');
    const plans = [
      other.request({ agent: 'registration', body }),
      own.request({ agent: 'registration', body, time: Math.floor(Date.now() / 1000) - 3_600 }),
      own.request({ agent: 'registration', body, tamper: (text) => text.replace('crafter.test', 'other.test') }),
    ];
    for (const { payload } of plans) raw.publish('mcollective.broadcast.agent.registration', payload);
    raw.publish('choria.lifecycle.event.alive.server', 'nonsense');
    await until('they are refused', async () => (await status(registry)).details.refused >= refused + 3);
    expect(await recordOf('crafter.test')).toBeUndefined();
    expect(await recordOf('other.test')).toBeUndefined();
  });

  test('refused by name: another option, another value', async () => {
    await expect(find({ options: { site: 'x' } })).rejects.toThrow("registry has no option 'site'");
    await expect(find({ options: { stale: 'maybe' } })).rejects.toThrow("the option stale of registry is yes or no, not 'maybe'");
  });

  test('a registry that ends is followed by another, and two share the work', async () => {
    await registry.stop();
    expect(await names({ classes: ['role::db'] })).toEqual(['db']);
    registry = await startRegistry(inlineAs);
    const second = await startRegistry(inlineAs);
    const seen = (await recordOf(name('db')))?.registered ?? 0;
    await until('the next registration is kept', async () => ((await recordOf(name('db')))?.registered ?? 0) > seen + 2);
    const written = async (one: TestHost) =>
      ((await one.host.call('service', 'registry', 'service/status', {})) as { details: { written: number } }).details.written;
    await until('both have written', async () => (await written(registry)) > 0 && (await written(second)) > 0);
    await second.stop();
  });
});

test('on the command line, with what is known of the nodes', async () => {
  const registry = await startRegistry();
  await node('cli.test', { facts: { rack: 'b7' } });
  await until('it is registered', async () => (await recordOf('cli.test'))?.registered);
  const config = join(fleet.folder, 'client.conf');
  const values = {
    ...(await fleet.certificate('operator.mcollective')),
    identity: 'operator.mcollective',
    'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
  };
  writeFileSync(
    config,
    Object.entries(values)
      .map(([key, value]) => `${key} = ${value}\n`)
      .join(''),
  );
  const muster = (...args: string[]): Promise<string> =>
    new Promise((resolve, reject) => {
      execFile(process.execPath, [main, ...args, '--config', config], (error, out) => (error ? reject(error) : resolve(out)));
    });
  try {
    expect(await muster('find', '--dm', 'registry', '-F', 'rack=b7')).toBe('cli.test\n');
    expect(await muster('find', '--dm', 'registry', '-F', 'rack=b7', '-v')).toMatch(
      /^Node +State +Last heard of *\ncli\.test +present +\S+ ago/,
    );
    const [shown] = JSON.parse(await muster('find', '--dm', 'registry', '-F', 'rack=b7', '-v', '--json'));
    expect(shown).toEqual({ identity: 'cli.test', state: 'present', seen: expect.stringMatching(/^\d{4}-.*Z$/) });
    const { replies } = JSON.parse(await muster('req', 'rpcutil', 'ping', '--dm', 'registry', '-F', 'rack=b7', '--json'));
    expect(replies.map(({ sender }: { sender: string }) => sender)).toEqual(['cli.test']);
  } finally {
    await registry.stop();
  }
});

describe('what a node says changes its record', () => {
  const at = 1_700_000_000;
  const event = (type: string, timestamp: number) => ({
    ...{ protocol: `io.choria.lifecycle.v1.${type}`, id: 'x', identity: 'a', component: 'server', timestamp },
  });
  const say = (before: NodeRecord | undefined, type: string, timestamp: number, seen: number) =>
    afterEvent(before, type, event(type, timestamp), seen);
  const document = { agents: [{ name: 'host' }], classes: ['c'], facts: { f: 1 }, collectives: ['m'] };
  const started: NodeRecord = { identity: 'a', state: 'present', seen: at, started: at };
  const stopped: NodeRecord = { ...started, state: 'stopped', seen: at + 10, stopped: at + 10 };

  test('it starts, and stops', () => {
    expect(say(undefined, 'startup', at, at)).toEqual(started);
    expect(say(started, 'shutdown', at + 10, at + 10)).toEqual(stopped);
    expect(say(stopped, 'startup', at + 20, at + 20)).toEqual({ ...started, seen: at + 20, started: at + 20 });
  });

  test('twice is once', () => {
    expect(say(started, 'startup', at, at)).toEqual(started);
    expect(say(stopped, 'shutdown', at + 10, at + 10)).toEqual(stopped);
    const once = afterRegistration(started, 'a', document, at + 1, at + 1);
    expect(afterRegistration(once, 'a', document, at + 1, at + 1)).toEqual(once);
  });

  test('what is late does not undo what came after it', () => {
    expect(say(stopped, 'startup', at, at + 11)).toBeUndefined();
    expect(say({ ...started, started: at + 20 }, 'shutdown', at + 10, at + 21)).toBeUndefined();
    expect(say(stopped, 'alive', at, at + 11)).toBeUndefined();
    expect(afterRegistration(stopped, 'a', document, at + 9, at + 11)?.state).toBe('stopped');
    const told = afterRegistration(started, 'a', document, at + 5, at + 5);
    expect(afterRegistration(told, 'a', { ...document, classes: [] }, at + 4, at + 6)).toBeUndefined();
  });

  test('a sign of life counts by its arrival, also after a start that nobody heard of', () => {
    expect(say(started, 'alive', at, at + 1_800)).toEqual({ ...started, seen: at + 1_800 });
    expect(say(stopped, 'alive', at, at + 1_800)?.state).toBe('present');
    expect(afterRegistration(stopped, 'a', document, at + 11, at + 11)?.state).toBe('present');
  });

  test('it is there, silent, or stopped', () => {
    expect(stateOf(started, at + 100, 100)).toBe('present');
    expect(stateOf(started, at + 101, 100)).toBe('silent');
    expect(stateOf(stopped, at + 11, 100)).toBe('stopped');
  });

  test.each([
    ['a.test', true],
    ['a_b-c', true],
    ['a..b', false],
    ['.a', false],
    ['a b', false],
    ['a*', false],
    ['', false],
  ])("'%s' can be a key: %s", (identity, can) => {
    expect(isKey(identity)).toBe(can);
  });
});
