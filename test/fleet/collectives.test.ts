// Nodes in several collectives: who hears a request, who is silent about it, and how one finds out why.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Ran, runMuster, writeConfig } from '../support/command.ts';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { Crafter } from '../support/messages.ts';

let fleet: Fleet;
let client: TestClient;
let config: string;

const muster = (...args: string[]): Promise<Ran> => runMuster([...args, '--config', config]);
const membersOf = async (collective: string) => {
  const { answers } = await client.fleet.ping({ collective, timeoutMs: 700 });
  return answers.map(({ sender }) => sender).sort();
};

beforeAll(async () => {
  fleet = await Fleet.start();
  await Promise.all([
    fleet.node('both.test', { config: { collectives: 'mcollective,databases' } }),
    fleet.node('main.test', { config: { collectives: 'mcollective' } }),
    fleet.node('db.test', { config: { collectives: 'databases,backups', main_collective: 'backups' } }),
  ]);
  const collectives = { collectives: 'mcollective,databases,backups' };
  client = await fleet.client('operator.mcollective', collectives);
  config = writeConfig(fleet.folder, 'client.conf', {
    ...(await fleet.certificate('operator.mcollective')),
    identity: 'operator.mcollective',
    discovery_timeout: 1,
    'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
    ...collectives,
  });
}, 60_000);
afterAll(() => fleet.stop());

test.each([
  ['mcollective', ['both.test', 'main.test']],
  ['databases', ['both.test', 'db.test']],
  ['backups', ['db.test']],
])('%s reaches its members', async (collective, members) => {
  expect(await membersOf(collective)).toEqual(members);
});

test('a client without -T reaches its main collective, which is the first one or main_collective', async () => {
  expect(await client.find()).toEqual(['both.test', 'main.test']);
  const other = await fleet.client('operator.mcollective', {
    collectives: 'mcollective,databases',
    main_collective: 'databases',
  });
  expect(await other.find()).toEqual(['both.test', 'db.test']);
});

test('a directed request in a collective is answered by members and by nobody else', async () => {
  const request = { agent: 'rpcutil', action: 'collective_info', data: {}, targets: ['both.test', 'main.test', 'db.test'] };
  const { replies, statistics } = await client.call({ ...request, collective: 'databases', timeoutMs: 1_500 });
  expect(Object.fromEntries(replies.map(({ sender, data }) => [sender, data]))).toEqual({
    'both.test': { main_collective: 'mcollective', collectives: ['mcollective', 'databases'] },
    'db.test': { main_collective: 'backups', collectives: ['databases', 'backups'] },
  });
  expect(statistics.noResponses).toEqual(['main.test']);
});

test('a client refuses a collective that it was not configured for, before it sends anything', async () => {
  const refused = { code: 'UNKNOWN_COLLECTIVE', message: expect.stringContaining("no collective 'databasse'") };
  await expect(client.fleet.ping({ collective: 'databasse' })).rejects.toMatchObject(refused);
  const request = { agent: 'rpcutil', action: 'ping', data: {}, targets: ['both.test'], collective: 'databasse' };
  await expect(client.call(request)).rejects.toMatchObject(refused);
});

describe('the command line', () => {
  test('-T chooses the collective of ping, find and req', async () => {
    expect((await muster('ping', '--names', '-T', 'databases')).out.trim().split('\n').sort()).toEqual(['both.test', 'db.test']);
    expect((await muster('find', '-T', 'backups')).out).toBe('db.test\n');
    const { code, out } = await muster('req', 'rpcutil', 'ping', '-T', 'databases', '--senders');
    expect([code, out.trim().split('\n').sort()]).toEqual([0, ['both.test', 'db.test']]);
  });

  test('-T with an unknown name says which there are', async () => {
    const { code, err } = await muster('ping', '-T', 'nowhere');
    expect([code, err]).toEqual([1, expect.stringContaining('only mcollective, databases, backups; add it to `collectives`')]);
  });

  test('inventory --collectives counts members', async () => {
    expect(JSON.parse((await muster('inventory', '--collectives', '--json', '-T', 'databases')).out)).toEqual({
      mcollective: 1,
      databases: 2,
      backups: 1,
    });
  });

  test('why tells that a request was for another collective', async () => {
    const crafter = await Crafter.of(fleet.authority, 'operator.mcollective');
    const nats = await fleet.connection();
    // The subject is of one collective, the signed envelope of another.
    const { id, payload } = crafter.request({ collective: 'backups' });
    nats.publish('mcollective.node.main.test', payload);
    await nats.flush();
    const { code, out } = await muster('why', id, '-I', 'main.test');
    expect([code, out]).toEqual([
      0,
      expect.stringContaining('collective: it is for the collective backups, this node is a member of mcollective'),
    ]);
  });

  test('why tells the collectives of a node that a request did not come to', async () => {
    const { statistics } = await client.call({
      agent: 'rpcutil',
      action: 'ping',
      data: {},
      targets: ['main.test'],
      collective: 'databases',
      timeoutMs: 500,
    });
    const { out } = await muster('why', statistics.requestId, '-I', 'main.test');
    expect(out).toContain('no request with this id reached main.test');
    expect(out).toContain('it is a member of mcollective and hears nothing of other collectives');
  });

  test('why names the collective in which a node does not answer, and asks in another with -T', async () => {
    const id = '0123456789abcdef0123456789abcdef';
    expect((await muster('why', id, '-I', 'db.test')).out).toContain(
      'no member of the collective mcollective (ask in another with -T)',
    );
    expect((await muster('why', id, '-I', 'db.test', '-T', 'backups')).out).toContain('it is a member of databases, backups');
  }, 30_000);
});
