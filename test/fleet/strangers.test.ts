// Replies that nobody asked for: from strangers, twice, too late, forged. The client counts what Choria's counts, takes none of
// them for the answer of a node that it waits for, and says what came.

import { createHash } from 'node:crypto';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { RpcOptions } from '../../plugins/fleet-client/options.ts';
import { transportBytes } from '../../plugins/wire/v1/messages.ts';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { until } from '../support/folders.ts';
import { type Heard, replyBytes, scriptedNode } from '../support/scripted-node.ts';

let fleet: Fleet;
let client: TestClient;
let nats: NatsConnection;

beforeAll(async () => {
  fleet = await Fleet.start();
  client = await fleet.client();
  nats = await fleet.connection();
});
afterAll(() => fleet.stop());
beforeEach(() => client.log.splice(0));

const act = (targets: readonly string[], options: Partial<RpcOptions> = {}) =>
  client.call({ agent: 'act', action: 'act', data: {}, targets, timeoutMs: 2_000, ...options });
const warnings = () => client.log.filter(({ level }) => level === 'warn').map(({ message }) => message);

test('a stranger is told of as unexpected, and answers for nobody', async () => {
  await scriptedNode(nats, 'asked.test', (heard) => nats.publish(heard.replyTo, replyBytes(heard, 'stranger.test', {})));
  const { statistics } = await act(['asked.test']);
  expect(statistics).toMatchObject({
    discovered: 1,
    responses: 1,
    noResponses: ['asked.test'],
    unexpectedResponses: ['stranger.test'],
  });
});

test('a stranger does not make a canary succeed', async () => {
  await scriptedNode(nats, 'bird.test', (heard) => nats.publish(heard.replyTo, replyBytes(heard, 'stranger.test', {})));
  const rest = await scriptedNode(nats, 'rest.test', ({ reply }) => reply());
  const { canary } = await act(['bird.test', 'rest.test'], { canary: { share: '1' } });
  expect(canary).toMatchObject({ asked: 1, ok: 0, passed: false });
  expect(rest).toEqual([]);
});

test('a node that answers twice has answered once, and is told of', async () => {
  await scriptedNode(nats, 'twice.test', ({ reply }) => {
    reply();
    reply();
  });
  await scriptedNode(nats, 'silent.test', () => undefined);
  const { statistics } = await act(['twice.test', 'silent.test']);
  expect(statistics).toMatchObject({ noResponses: ['silent.test'], unexpectedResponses: ['twice.test'] });
});

test('an answer after the deadline counts neither for its request nor for the next', async () => {
  const heard = await scriptedNode(nats, 'late.test', ({ count, reply }) => count > 1 && reply());
  const { statistics: first } = await act(['late.test'], { timeoutMs: 100 });
  expect(first).toMatchObject({ responses: 0, noResponses: ['late.test'] });
  await until('it was asked', () => heard.length > 0);
  heard[0]?.reply();
  await nats.flush();
  const { statistics: second, replies } = await act(['late.test']);
  expect(second).toMatchObject({ responses: 1, ok: 1, unexpectedResponses: [], unusable: 0 });
  expect(replies).toHaveLength(1);
});

describe('a forgery', () => {
  const sealed = (heard: Heard, change: (secure: { message: string; hash: string }) => object, sender = 'honest.test') => {
    const message = JSON.stringify({
      protocol: 'choria:reply:1',
      message: JSON.stringify({ action: 'act', statuscode: 0, statusmsg: 'OK', data: { forged: true } }),
      envelope: { requestid: heard.id, senderid: 'honest.test', agent: 'act', time: Math.floor(Date.now() / 1000) },
    });
    const hash = createHash('sha256').update(message).digest('base64');
    const secure = { protocol: 'choria:secure:reply:1', ...change({ message, hash }) };
    return transportBytes(JSON.stringify(secure), { replyTo: '', sender, seenBy: [] });
  };
  const forgeries: readonly (readonly [string, (heard: Heard) => Uint8Array, RegExp])[] = [
    [
      'whose text was altered',
      (heard) => sealed(heard, ({ message, hash }) => ({ message: message.replace('true', 'null'), hash })),
      /the hash does not belong to the reply; it was altered/,
    ],
    [
      'with the hash of nothing',
      (heard) => sealed(heard, ({ message }) => ({ message, hash: 'AAAA' })),
      /the hash does not belong/,
    ],
    [
      'that answers another request',
      () => replyBytes({ id: 'e'.repeat(32), agent: 'act' }, 'honest.test', {}),
      /it answers the request e{32}/,
    ],
    [
      'in the name of another',
      (heard) => sealed(heard, (secure) => secure, 'other.test'),
      /the reply of honest\.test came in the name of other\.test/,
    ],
    ['that is no message', () => Buffer.from('hello'), /the transport is not JSON/],
    ['that is empty', () => new Uint8Array(), /the transport is not JSON/],
  ];

  test.each(forgeries)('%s is passed over with one line, and the node still awaited', async (what, forge, reason) => {
    const name = `forged${forgeries.findIndex(([other]) => other === what)}.test`;
    await scriptedNode(nats, name, (heard) => {
      nats.publish(heard.replyTo, forge(heard));
      heard.reply({ genuine: true });
    });
    const { statistics, replies } = await act([name]);
    expect(statistics).toMatchObject({ responses: 1, ok: 1, noResponses: [], unexpectedResponses: [], unusable: 1 });
    expect(replies.map(({ data }) => data)).toEqual([{ genuine: true }]);
    expect(warnings()).toEqual([expect.stringMatching(/^a reply was passed over: /)]);
    expect(warnings()[0]).toMatch(reason);
  });

  test('that comes a thousand times is told of five times', async () => {
    await scriptedNode(nats, 'flooded.test', (heard) => {
      for (let count = 0; count < 1_000; count += 1) nats.publish(heard.replyTo, `forged ${'x'.repeat(1_000)}`);
      heard.reply();
    });
    const { statistics } = await act(['flooded.test'], { timeoutMs: 20_000 });
    expect(statistics).toMatchObject({ responses: 1, unusable: 1_000 });
    expect(warnings()).toHaveLength(5);
    expect(warnings().at(-1)).toContain('others are counted only');
  });

  test('of an answer to a ping finds nobody', async () => {
    nats.subscribe('mcollective.broadcast.agent.discovery', {
      max: 1,
      callback: (_error, { data }) => {
        const { headers } = JSON.parse(Buffer.from(data).toString()) as { headers: { 'reply-to': string } };
        nats.publish(headers['reply-to'], replyBytes({ id: 'e'.repeat(32), agent: 'discovery' }, 'forger.test', {}));
      },
    });
    await nats.flush();
    expect(await client.find({}, 1_000)).toEqual([]);
    await until('it was told of', () => warnings().some((text) => /passed over: it answers the request/.test(text)));
  });
});

test('a reply whose status is no whole number, or whose data has no bottom, is that of a node that failed', async () => {
  const bodies = ['{"statuscode":0.5,"data":{}}', `{"statuscode":0,"data":${'['.repeat(20_000)}${']'.repeat(20_000)}}`];
  for (const [index, body] of bodies.entries()) {
    const name = `broken${index}.test`;
    await scriptedNode(nats, name, ({ id, replyTo }) => {
      const envelope = { requestid: id, senderid: name, agent: 'act', time: Math.floor(Date.now() / 1000) };
      const message = JSON.stringify({ protocol: 'choria:reply:1', message: body, envelope });
      const hash = createHash('sha256').update(message).digest('base64');
      const secure = JSON.stringify({ protocol: 'choria:secure:reply:1', message, hash });
      nats.publish(replyTo, transportBytes(secure, { replyTo: '', sender: name, seenBy: [] }));
    });
    const { replies, statistics } = await act([name], { replyFilter: 'code > 0' });
    expect(statistics).toMatchObject({ responses: 1, ok: 0, failed: 1 });
    expect(replies[0]?.statusmsg).toMatch(/this is no RPC reply|nested deeper than 400 levels/);
  }
});
