// Nodes in several collectives: who hears a request, who is silent about it, and how one finds out why.

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startInCollectives } from '../support/collectives.ts';
import { type Ran, runMuster } from '../support/command.ts';
import type { Fleet, TestClient } from '../support/fleet.ts';
import { Crafter } from '../support/messages.ts';

let fleet: Fleet;
let client: TestClient;
let config: string;

const muster = (...args: string[]): Promise<Ran> => runMuster([...args, '--config', config]);
const membersOf = async (collective: string) => {
  const { answers } = await client.fleet.ping({ collective });
  return answers.map(({ sender }) => sender).sort();
};

beforeAll(async () => {
  ({ fleet, client, config } = await startInCollectives());
});
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
  const { replies, statistics } = await client.call({ ...request, collective: 'databases', timeoutMs: 4_000 });
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
});
