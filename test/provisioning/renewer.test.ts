// How many nodes are away at once while a fleet is renewed, and when it ends before all were asked.

import { expect, test } from 'vitest';
import { type RenewalOptions, Renewer } from '../../plugins/fleet-client/renewal.ts';

const names = (count: number) => Array.from({ length: count }, (_, index) => `n${index}.test`);

/** Nodes that are back when they have been looked for so often; never for 0. */
function fleet(looks: (identity: string) => number) {
  const away = new Map<string, number>();
  const record = { most: 0, groups: [] as number[] };
  const options = {
    batch: 4,
    sleepMs: 0,
    waitMs: 60,
    pollMs: 5,
    signal: new AbortController().signal,
    send: async (group: readonly string[]) => {
      record.groups.push(group.length);
      for (const identity of group) away.set(identity, looks(identity));
      record.most = Math.max(record.most, away.size);
      return new Map<string, string>();
    },
    back: async (asked: readonly string[]) =>
      asked.filter((identity) => {
        const left = (away.get(identity) ?? 0) - 1;
        away.set(identity, left);
        return left === 0 && away.delete(identity);
      }),
  } satisfies RenewalOptions;
  return { options, record };
}

test('never are more away than a batch, and those that are back make room', async () => {
  const { options, record } = fleet((identity) => (identity.length % 2) + 1);
  const done: string[] = [];
  // On a busy machine a node that is looked for twice is away for longer.
  const patient = { ...options, waitMs: 30_000, onDone: (identity: string) => done.push(identity) };
  const outcome = await new Renewer(names(30), patient).run();
  expect(outcome).toMatchObject({ failed: [], missing: [], away: [], notAsked: [] });
  expect(outcome.renewed.toSorted()).toEqual(names(30).toSorted());
  expect(done).toHaveLength(30);
  expect(record.most).toBe(4);
});

test('nodes that do not come back keep their place; when they are a batch it ends', async () => {
  const { options, record } = fleet((identity) => (identity.endsWith('3.test') ? 0 : 1));
  const outcome = await new Renewer(names(60), options).run();
  expect(outcome.stopped).toBe('missing');
  expect(outcome.missing).toEqual(['n3.test', 'n13.test', 'n23.test', 'n33.test']);
  expect(outcome.renewed.length + outcome.notAsked.length).toBe(56);
  expect(outcome.notAsked.length).toBeGreaterThan(0);
  expect(record.most).toBe(4);
});

test('where the first group refuses as one, the others are not asked', async () => {
  const { options } = fleet(() => 1);
  const send = async (group: readonly string[]) => new Map(group.map((identity) => [identity, 'no']));
  const outcome = await new Renewer(names(10), { ...options, send }).run();
  expect(outcome).toMatchObject({ renewed: [], stopped: 'refused', notAsked: names(10).slice(4) });
  expect(outcome.failed).toHaveLength(4);
});

test('one that refuses holds nobody up', async () => {
  const { options } = fleet(() => 1);
  const send = async (group: readonly string[]) => {
    await options.send(group.filter((identity) => identity !== 'n1.test'));
    return new Map(group.includes('n1.test') ? [['n1.test', 'no']] : []);
  };
  const outcome = await new Renewer(names(10), { ...options, send }).run();
  expect(outcome.renewed).toHaveLength(9);
  expect(outcome.failed).toEqual([{ identity: 'n1.test', reason: 'no' }]);
});

test('stopped in the middle it says who is away, and who was not asked', async () => {
  const { options } = fleet(() => 0);
  const stop = new AbortController();
  const send = async () => {
    stop.abort();
    return new Map<string, string>();
  };
  const outcome = await new Renewer(names(10), { ...options, send, signal: stop.signal }).run();
  expect(outcome).toEqual({
    renewed: [],
    failed: [],
    missing: [],
    away: names(4),
    notAsked: names(10).slice(4),
    stopped: 'interrupted',
  });
});
