// Filters of a mebibyte: refused where they are made, and dropped where they come from the wire.

import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { buildFilter, emptyFilter, type Filter, type FilterFlags } from '../../plugins/wire/filter.ts';
import { runMuster, writeConfig } from '../support/command.ts';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { until } from '../support/folders.ts';
import type { TestHost } from '../support/hosts.ts';
import { Crafter } from '../support/messages.ts';

const mebibyte = 1024 * 1024;
/** As large as a broker lets a message be, with its two layers of base64 and signature. */
const onWire = 600 * 1024;
let fleet: Fleet;
let node: TestHost;
let client: TestClient;
let nats: NatsConnection;
let crafter: Crafter;

beforeAll(async () => {
  fleet = await Fleet.start();
  node = await fleet.node('filtered.test', { facts: { site: 'here' } });
  client = await fleet.client();
  nats = await fleet.connection();
  crafter = await Crafter.of(fleet.authority, 'crafter.mcollective');
});
afterAll(() => fleet.stop());
beforeEach(() => node.log.splice(0));

const names = (bytes: number) => Array.from({ length: bytes / 32 }, (_, index) => `${`${index}`.padStart(27, 'n')}.test`);

describe('at the client', () => {
  const filters: readonly (readonly [string, FilterFlags])[] = [
    ['an expression', { compound: `with("${'a'.repeat(mebibyte)}")` }],
    ['the value of a fact', { facts: [`site=${'a'.repeat(mebibyte)}`] }],
    ['a class', { classes: ['a'.repeat(mebibyte)] }],
    ['names and a fact', { identities: names(mebibyte), facts: ['site=here'] }],
  ];

  test.each(filters)('%s of a mebibyte is refused before anything is sent', async (_what, flags) => {
    const heard: number[] = [];
    const subscription = nats.subscribe('mcollective.>', { callback: () => void heard.push(1) });
    await nats.flush();
    const call = client.call({ agent: 'rpcutil', action: 'ping', data: {}, discovery: { filter: buildFilter(flags) } });
    await expect(call).rejects.toThrow(
      /^the filter has \d{7} characters, and nodes look at 262144 at most; find the nodes in another way/,
    );
    await nats.flush();
    subscription.unsubscribe();
    expect(heard).toEqual([]);
  });

  test('an expression that is too long to be compiled is refused on the command line, in one line', async () => {
    const config = writeConfig(fleet.folder, 'client.conf', {
      ...(await fleet.certificate('operator.mcollective')),
      identity: 'operator.mcollective',
      'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
    });
    const { code, out, err } = await runMuster(['find', '-S', `with("${'a'.repeat(100_000)}")`, '--config', config]);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(/^muster: the expression of -S can not be used: [^\n]{1,200}\n$/);
  });

  test('a list of names alone is no filter that travels: each is asked', async () => {
    const targets = [...names(320 * 1024).slice(0, 10_000), 'filtered.test'];
    const { statistics } = await client.call({
      agent: 'rpcutil',
      action: 'ping',
      data: {},
      timeoutMs: 6_000,
      discovery: { filter: buildFilter({ identities: targets }) },
    });
    expect(statistics).toMatchObject({ discovered: targets.length, ok: 1 });
    expect(statistics.noResponses).toHaveLength(targets.length - 1);
  });
});

describe('at a node', () => {
  const filters: readonly (readonly [string, Filter])[] = [
    ['an expression', { ...emptyFilter, compound: [[{ expr: `with("${'a'.repeat(onWire)}")` }]] }],
    ['many expressions', { ...emptyFilter, compound: Array(4_000).fill([{ expr: `with("${'a'.repeat(120)}")` }]) }],
    ['the value of a fact', { ...emptyFilter, fact: [{ fact: 'site', operator: '==', value: 'a'.repeat(onWire) }] }],
    ['a pattern', { ...emptyFilter, fact: [{ fact: 'site', operator: '=~', value: `/${'(a+)+'.repeat(onWire / 5)}$/` }] }],
    ['a list of names', { ...emptyFilter, identity: names(onWire) }],
    ['a class', { ...emptyFilter, cf_class: [`/${'a'.repeat(onWire)}/`] }],
  ];

  test.each(filters)('%s, as large as it can be, is dropped with one line', async (_what, filter) => {
    const { payload } = crafter.request({ filter });
    expect(payload.length).toBeGreaterThan(mebibyte / 2);
    nats.publish('mcollective.broadcast.agent.rpcutil', payload);
    const line = await until('it was dropped', () => node.log.find(({ level }) => level === 'warn'));
    expect(line.message).toMatch(
      /^dropped a message on \S+: the filter of the request has \d{6} characters, at most 262144 are looked at$/,
    );
    expect(await client.ask('filtered.test', 'rpcutil', 'ping')).toMatchObject({ statuscode: 0 });
    expect(node.log.filter(({ level }) => level === 'warn' || level === 'error')).toHaveLength(1);
  });

  test('what it remembers of requests that did not fit does not grow by their filters', async () => {
    const id = 'd'.repeat(32);
    nats.publish(
      'mcollective.broadcast.agent.rpcutil',
      crafter.request({ id, filter: { ...emptyFilter, cf_class: ['a'.repeat(200_000)] } }).payload,
    );
    const reason = await until('it was remembered', async () => {
      const { data } = await client.ask('filtered.test', 'muster', 'why', { requestid: id });
      const told = data as { outcome: string; reason: string };
      return told.outcome === 'filtered' ? told.reason : undefined;
    });
    expect(reason).toMatch(/^its filter does not fit this node: /);
    expect(reason.length).toBeLessThanOrEqual(400);
  });
});
