// What commands tell about collectives: who is in them, and why a node did not hear a request.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { type InCollectives, startInCollectives } from '../support/collectives.ts';
import { type Ran, runMuster } from '../support/command.ts';

let all: InCollectives;
beforeAll(async () => {
  all = await startInCollectives();
});
afterAll(() => all.fleet.stop());

const muster = (...args: string[]): Promise<Ran> => runMuster([...args, '--config', all.config]);

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

test('why tells the collectives of a node that a request did not come to', async () => {
  const { statistics } = await all.client.call({
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
});
