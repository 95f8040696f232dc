// What the client does with a fleet that is slow, partly silent, or says things twice. The broker is real; most nodes are made
// by hand, so that each is as it has to be.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Aggregator } from '../../plugins/fleet-client/aggregate.ts';
import { discover } from '../../plugins/fleet-client/discovery.ts';
import { limitTargets } from '../../plugins/fleet-client/limit.ts';
import type { RpcOptions } from '../../plugins/fleet-client/options.ts';
import { streamRpc } from '../../plugins/fleet-client/reply-call.ts';
import { findAction, readDdl } from '../../plugins/wire/ddl.ts';
import { buildFilter, emptyFilter } from '../../plugins/wire/filter.ts';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { temporaryFolder, until, writeBundle } from '../support/folders.ts';
import { type Heard, hear, replyBytes, scriptedNode } from '../support/scripted-node.ts';

let fleet: Fleet;
let client: TestClient;
let nats: NatsConnection;
const { path: bundles, remove } = temporaryFolder();
const runs = join(bundles, 'runs.txt');

const ddl = (name: string, more: object = {}) =>
  JSON.stringify({
    metadata: { name, description: 'x', author: 'x', license: 'x', version: '1.0.0', url: 'x', timeout: 10, ...more },
    actions: [{ action: 'act', description: 'x', display: 'always', input: {}, output: {} }],
  });
const manifest = (name: string) => `bundle: ${name}
version: 1.0.0
plugins:
  - { kind: agent, name: ${name}, runner: oneshot, command: [sh, ./${name}.sh], resources: { ddl: ./ddl.json } }
`;
const answer = `printf '{"statuscode":0,"statusmsg":"OK","data":{}}'\n`;

beforeAll(async () => {
  writeBundle(bundles, 'slow', manifest('slow'), {
    'slow.sh': `echo run >> ${runs}; sleep 2\n${answer}`,
    'ddl.json': ddl('slow'),
  });
  writeBundle(bundles, 'shared', manifest('shared'), { 'shared.sh': answer, 'ddl.json': ddl('shared', { service: true }) });
  fleet = await Fleet.start();
  await Promise.all(
    ['one.test', 'two.test'].map((name) => fleet.node(name, { bundles: [bundles], facts: { cpus: 4 }, classes: ['Web'] })),
  );
  client = await fleet.client('operator.mcollective', { collectives: 'mcollective,crowd' });
  nats = await fleet.connection();
});
afterAll(async () => {
  await fleet.stop();
  remove();
});

const act = (targets: readonly string[], options: Partial<RpcOptions> = {}) =>
  client.call({ agent: 'act', action: 'act', data: { n: 1 }, targets, timeoutMs: 2_000, ...options });
/** Nodes that answer at once; the names of those that were asked, in order. */
async function nodes(names: readonly string[], script: (heard: Heard) => void = ({ reply }) => reply()): Promise<string[]> {
  const asked: string[] = [];
  for (const name of names)
    await scriptedNode(nats, name, (heard) => {
      asked.push(name);
      script(heard);
    });
  return asked;
}
const names = (prefix: string, count: number) => Array.from({ length: count }, (_, index) => `${prefix}${index}.test`);

describe('a limit', () => {
  const targets = Array.from({ length: 100 }, (_, index) => `target${index}`);

  test('with a seed takes the nodes that Choria takes', () => {
    expect(limitTargets(targets, '5', 'random', 1)).toEqual(['target19', 'target26', 'target0', 'target73', 'target94']);
    expect(limitTargets(targets, '5%', 'random', 1)).toEqual(limitTargets(targets, '5', 'random', 1));
  });

  test('takes the first, or others each time, and never more than there are', () => {
    expect(limitTargets(targets, '2', 'first')).toEqual(['target0', 'target1']);
    expect(limitTargets(targets, '100%', 'random').toSorted()).toEqual(targets.toSorted());
    expect(limitTargets(targets, '100', 'random')).not.toEqual(targets);
    expect(limitTargets(['a'], '50', 'first')).toEqual(['a']);
  });
});

describe('a canary', () => {
  test('that succeeds is followed by the others', async () => {
    const all = names('calm', 10);
    const asked = await nodes(all);
    const { canary, statistics } = await act(all, { canary: { share: '20%' } });
    expect(canary).toEqual({ asked: 2, ok: 2, needed: 2, passed: true });
    expect(statistics).toMatchObject({ responses: 10, notAsked: [] });
    expect(asked.slice(0, 2).toSorted()).toEqual(['calm0.test', 'calm1.test']);
  });

  test('that fails ends the request, and names those that were not asked', async () => {
    const all = names('ill', 10);
    const asked = await nodes(all, ({ reply, count }) => reply({}, count));
    const { canary, statistics } = await act(all, { canary: { share: '3', success: '50%' } });
    expect(canary).toEqual({ asked: 3, ok: 0, needed: 2, passed: false });
    expect(asked).toHaveLength(3);
    expect(statistics.notAsked).toEqual(all.slice(3));
  });

  test('counts those that are silent as failures, and may fail in part', async () => {
    const all = names('half', 8);
    await nodes(all.slice(1));
    expect((await act(all, { canary: { share: '50%' } })).canary).toMatchObject({ ok: 3, needed: 4, passed: false });
    const { canary, statistics } = await act(all, { canary: { share: '50%', success: '75%' } });
    expect(canary).toMatchObject({ ok: 3, needed: 3, passed: true });
    expect(statistics).toMatchObject({ responses: 7, noResponses: ['half0.test'] });
  });
});

describe('a retry', () => {
  test('asks those that were silent again: the same id and body, signed anew', async () => {
    const heard = await scriptedNode(nats, 'sleepy.test', ({ count, reply }) => count > 1 && reply());
    const awake = await nodes(['awake.test']);
    const { statistics } = await act(['sleepy.test', 'awake.test'], { retries: 2 });
    expect(statistics).toMatchObject({ responses: 2, ok: 2, noResponses: [], unexpectedResponses: [], askedAgain: 1 });
    const [first, second] = heard;
    expect(heard).toHaveLength(2);
    expect([second?.id, second?.body, second?.replyTo]).toEqual([first?.id, first?.body, first?.replyTo]);
    expect(second?.time).toBeGreaterThan(first?.time ?? 0);
    expect(second?.signature).not.toBe(first?.signature);
    expect(awake).toEqual(['awake.test']);
  });

  test('does not run an action twice on a node', async () => {
    const { statistics } = await client.call({
      agent: 'slow',
      action: 'act',
      data: {},
      targets: ['one.test'],
      timeoutMs: 600,
      retries: 9,
    });
    expect(statistics).toMatchObject({ ok: 1, responses: 1, unexpectedResponses: [] });
    expect(statistics.askedAgain).toBe(1);
    expect(readFileSync(runs, 'utf8')).toBe('run\n');
  });

  test('takes both answers of a node for one', async () => {
    const waiting: Heard[] = [];
    await scriptedNode(nats, 'double.test', (heard) => {
      waiting.push(heard);
      if (heard.count === 2) for (const { reply } of waiting) reply();
    });
    await scriptedNode(nats, 'never.test', () => undefined);
    const { statistics } = await act(['double.test', 'never.test'], { retries: 1 });
    expect(statistics).toMatchObject({ responses: 1, noResponses: ['never.test'], unexpectedResponses: [] });
  });
});

describe('batches', () => {
  test('pause between groups, not after the last, and can be interrupted in a pause', async () => {
    const asked = await nodes(names('group', 4));
    await act(names('group', 2), { batchSize: 2, batchSleepMs: 600_000 });
    expect(asked).toHaveLength(2);
    const cancel = new AbortController();
    const waiting = act(names('group', 4), { batchSize: 3, batchSleepMs: 600_000, signal: cancel.signal });
    waiting.catch(() => undefined);
    await until('the first group was asked', () => asked.length === 5);
    cancel.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
    expect(asked).toHaveLength(5);
  });

  test('count an answer that comes during a later group', async () => {
    let late: Heard | undefined;
    await scriptedNode(nats, 'late.test', (heard) => {
      late = heard;
    });
    await scriptedNode(nats, 'next.test', ({ reply }) => {
      late?.reply();
      reply();
    });
    const { statistics } = await act(['late.test', 'next.test'], { batchSize: 1, batchSleepMs: 1 });
    expect(statistics).toMatchObject({ responses: 2, noResponses: [], unexpectedResponses: [] });
  });
});

describe('replies that are read as they come', () => {
  const flood = 1_000;
  const floodedStream = (options: Partial<RpcOptions>) =>
    streamRpc(client.fleet, {
      agent: 'act',
      action: 'act',
      data: {},
      targets: ['flood.test', 'nobody.test'],
      timeoutMs: 10_000,
      keepReplies: false,
      ...options,
    });

  beforeAll(async () => {
    await scriptedNode(nats, 'flood.test', ({ reply }) => {
      for (let index = 0; index < flood; index += 1) reply({ index, text: 'x'.repeat(1_000) });
    });
  });

  test('come as fast as they are read, all of them, in order, even those that were read after the time was up', async () => {
    let taken = 0;
    const call = floodedStream({
      timeoutMs: 2_000,
      onReply: () => {
        taken += 1;
      },
    });
    const read: number[] = [];
    for await (const { data } of call) {
      if (read.length === 0) {
        await setTimeout(2_200);
        expect(taken).toBeLessThan(200);
      }
      read.push((data as { index: number }).index);
    }
    expect(read).toEqual(Array.from({ length: flood }, (_, index) => index));
    const { replies, statistics } = await call.result();
    expect(replies).toEqual([]);
    expect(statistics).toMatchObject({ responses: flood, ok: flood });
  });

  test('that wait beyond the bound fail the call, which says so', async () => {
    const read = async () => {
      for await (const _reply of floodedStream({ maxWaitingBytes: 500_000 })) await setTimeout(20);
    };
    await expect(read()).rejects.toThrow(/replies are taken too slowly: \d+ with \d+ bytes wait, at most 500000 may/);
  });

  test('end the request when nobody reads on, and fail it when a listener fails', async () => {
    const call = floodedStream({});
    for await (const _reply of call) break;
    await expect(call.result()).rejects.toThrow('nobody reads the replies any more');
    const broken = floodedStream({
      onReply: () => {
        throw new Error('broken listener');
      },
    });
    await expect(broken.result()).rejects.toThrow('broken listener');
  });

  test('are summarized one by one, in bounded memory', () => {
    const output = (name: string) => ({ [name]: { description: name, display_as: name } });
    const { metadata, actions } = JSON.parse(ddl('sums')) as { metadata: object; actions: object[] };
    const aggregate = ['summary', 'average', 'chart'].map((name) => ({ function: name, args: [name] }));
    const action = { ...actions[0], output: { ...output('summary'), ...output('average'), ...output('chart') }, aggregate };
    const aggregator = new Aggregator(findAction(readDdl({ metadata, actions: [action] }, 'test'), 'act'));
    const count = 200_000;
    for (let index = 0; index < count; index += 1) aggregator.add({ summary: `v${index}`, average: index, chart: index });
    const [average, chart, summary] = aggregator.results();
    expect(average?.result).toEqual({ average: (count - 1) / 2 });
    expect(chart?.lines).toHaveLength(16);
    expect(Object.keys(summary?.result ?? {}).length).toBeLessThan(40_000);
    expect(Object.values(summary?.result ?? {}).reduce((sum: number, value) => sum + Number(value), 0)).toBe(count);
    expect(summary?.result['other values']).toBeGreaterThan(100_000);
  });
});

describe('discovery', () => {
  const collective = 'crowd';
  /** Nodes that answer a broadcast after so many milliseconds each. */
  async function crowd(answers: readonly (readonly [name: string, afterMs: number])[]): Promise<void> {
    nats.subscribe(`${collective}.broadcast.agent.discovery`, {
      max: 1,
      callback: (_error, { data }) => {
        const request = hear(nats, '', data, 1);
        for (const [name, afterMs] of answers)
          void setTimeout(afterMs).then(() => nats.publish(request.replyTo, replyBytes(request, name, {})));
      },
    });
    await nats.flush();
  }
  const find = (timeoutMs: number, windowed = true) =>
    discover(client.fleet, { filter: emptyFilter, collective, timeoutMs, windowed });

  test('with a window ends soon after the last answer, however many there were before it', async () => {
    const answers = [100, 300, 500, 700, 900].map((ms) => [`n${ms}.test`, ms] as const);
    await crowd([...answers, ['tardy.test', 6_000]]);
    const begun = performance.now();
    const { nodes } = await find(30_000);
    expect(nodes).toEqual(['n100.test', 'n300.test', 'n500.test', 'n700.test', 'n900.test']);
    expect(performance.now() - begun).toBeGreaterThan(1_850);
    expect(performance.now() - begun).toBeLessThan(20_000);
  });

  test('waits for the first answer as long as it was told to, and not longer', async () => {
    await crowd([['first.test', 800]]);
    expect((await find(20_000)).nodes).toEqual(['first.test']);
    await crowd([]);
    const begun = performance.now();
    expect((await find(600)).nodes).toEqual([]);
    expect(performance.now() - begun).toBeGreaterThanOrEqual(600);
  });

  test('passes over answers whose sender no node can be called', async () => {
    await crowd([
      ['\u001b[31mred.test', 0],
      ['two words', 0],
      ['n.*', 0],
      ['good.test', 50],
    ]);
    expect((await find(10_000)).nodes).toEqual(['good.test']);
  });

  test('hears 20,000 nodes that answer at once, and tells of two with one name', async () => {
    const many = Array.from({ length: 20_000 }, (_, index) => [`n${index}.test`, 0] as const);
    await crowd([...many, ['n7.test', 0]]);
    const { nodes, duplicates } = await find(20_000);
    expect(nodes).toHaveLength(20_000);
    expect(new Set(nodes).size).toBe(20_000);
    expect(duplicates).toEqual(['n7.test']);
  });
});

describe('a request', () => {
  test('to a service is answered by one member, whoever it is', async () => {
    const { replies, statistics } = await client.call({ agent: 'shared', action: 'act', data: {}, service: true });
    expect(['one.test', 'two.test']).toContain(replies[0]?.sender);
    expect(statistics).toMatchObject({ discovered: 1, responses: 1, ok: 1, noResponses: [], unexpectedResponses: [] });
  });

  test('with a chosen reply subject sends the replies there', async () => {
    const answers = nats.subscribe('mcollective.reply.elsewhere', { max: 1 });
    await nats.flush();
    const { statistics } = await client.call({
      agent: 'rpcutil',
      action: 'ping',
      data: {},
      targets: ['one.test'],
      replyTo: 'mcollective.reply.elsewhere',
    });
    for await (const { data } of answers)
      expect(Buffer.from(JSON.parse(Buffer.from(data).toString()).data, 'base64').toString()).toContain(statistics.requestId);
    expect(statistics).toMatchObject({ discovered: 1, responses: 0, noResponses: [] });
  });

  test('carries the filter of its user, and reaches whom it found', async () => {
    const heard: Heard[] = [];
    nats.subscribe('mcollective.node.one.test', { callback: (_error, { data }) => void heard.push(hear(nats, 'x', data, 1)) });
    await nats.flush();
    const filter = buildFilter({ facts: ['cpus=4'], compound: "with('/web/') and config_item('identity').present" });
    const { statistics } = await client.call({ agent: 'rpcutil', action: 'ping', data: {}, discovery: { filter } });
    expect(statistics).toMatchObject({ discovered: 2, ok: 2, noResponses: [] });
    const first = await until('it is heard on another connection', () => heard[0]);
    expect(first.filter).toEqual({ ...filter, agent: ['rpcutil'] });
  });

  test('leaves out what only discovery understands', async () => {
    const heard = await scriptedNode(nats, 'found.test', ({ reply }) => reply());
    const identities = ['group:web', 'other.test'];
    await act(['found.test'], { discovery: { filter: buildFilter({ identities, facts: ['a=b'] }) } });
    expect(heard[0]?.filter).toMatchObject({ identity: [], fact: [{ fact: 'a', operator: '==', value: 'b' }] });
    const nodesFile = join(bundles, 'nodes.txt');
    writeFileSync(nodesFile, 'found.test\n');
    const discovery = { nodesFile, filter: buildFilter({ identities: ['/found/'] }) };
    await client.call({ agent: 'act', action: 'act', data: {}, discovery });
    expect(heard[1]?.filter).toEqual({ ...emptyFilter, agent: ['act'] });
  });

  test('without a filter is refused where the configuration wants one', async () => {
    const careful = await fleet.client('careful.mcollective', { 'plugin.choria.require_client_filter': true });
    const ping = { agent: 'rpcutil', action: 'ping', data: {} };
    await expect(careful.call(ping)).rejects.toThrow(/nothing without a filter/);
    const { statistics } = await careful.call({ ...ping, discovery: { filter: buildFilter({ facts: ['cpus=4'] }) } });
    expect(statistics.ok).toBe(2);
  });

  test.each([
    [{ service: true, targets: ['a.test'] }, /can not be asked of certain nodes/],
    [{ service: true, discovery: { filter: buildFilter({ classes: ['x'] }) } }, /leave the filter out/],
    [{ service: true, retries: 1 }, /can not be asked again/],
    [{ replyTo: 'a.b', retries: 1 }, /are not seen here/],
    [{ replyTo: 'a b' }, /can not go to 'a b'/],
    [{ batchSize: 0 }, /can not have 0 nodes/],
    [{ batchSize: 1.5 }, /can not have 1.5 nodes/],
    [{ batchSleepMs: -1_000 }, /no pause of -1 s between groups/],
    [{ timeoutMs: 0 }, /replies can not be given 0 s/],
    [{ limit: 'some' }, /could not parse limit 'some'/],
    [{ canary: { share: '0' } }, /a canary of '0' is no share/],
    [{ canary: { share: '200%' } }, /a canary of '200%' is no share/],
    [{ canary: { share: '10%', success: '120%' } }, /could not parse canary success '120%'/],
    [{ replyFilter: 'data("x") >' }, /the reply filter can not be used/],
    [{ retries: -1 }, /asked again -1 times/],
    [{ targets: ['a.test'], canary: { share: 'some' } }, /could not parse canary 'some'/],
    [{ targets: ['a.test'], canary: { share: '1', success: '101%' } }, /could not parse canary success '101%'/],
  ] as const)('that makes no sense is refused: %j', async (options, reason) => {
    await expect(client.call({ agent: 'act', action: 'act', data: {}, ...options })).rejects.toThrow(reason);
  });
});
