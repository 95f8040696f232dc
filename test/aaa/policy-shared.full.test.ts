// Compiled policies over the broker: who has a compiler fills the store, who has none takes from it.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Objm } from '@nats-io/obj';
import { connect, type NatsConnection } from 'nats';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { sourceKey } from '../../plugins/wire/rego/policy-use.ts';
import { Fleet } from '../support/fleet.ts';
import { temporaryFolder, until } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';
import { goProgram } from '../support/provisioning.ts';
import { publicOf, seedOf } from '../support/tokens.ts';

interface Prepared {
  readonly ok: boolean;
  readonly reason?: string;
  readonly module?: Uint8Array;
}

const policyOf = (comment: string) =>
  `package io.choria.aaasvc\nimport rego.v1\ndefault allow := false\n# ${comment}\nallow if input.agent == "webstack"\n`;

const { path: folder, remove } = temporaryFolder();
function keyOf(name: string): { seedFile: string; publicHex: string } {
  const seedFile = join(folder, `${name}.seed`);
  writeFileSync(seedFile, seedOf(name));
  return { seedFile, publicHex: publicOf(seedOf(name)) };
}

const [trusted, stranger] = [keyOf('trusted'), keyOf('stranger')];
const hosts: TestHost[] = [];
let fleet: Fleet;
let nats: NatsConnection;
let opa: string;

async function compiler(program: string, more: object = {}): Promise<TestHost> {
  const host = await startHost({
    distribution: true,
    config: {
      ...(await fleet.certificate('aaa.test')),
      identity: 'aaa.test',
      'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
      'plugin.muster.opa': program,
      // Those with a compiler sign, the others trust.
      ...(program === opa
        ? { 'plugin.muster.policies.signing_key': trusted.seedFile }
        : { 'plugin.muster.policies.trusted_keys': trusted.publicHex }),
      ...more,
    },
  });
  hosts.push(host);
  return host;
}

const prepare = async (host: TestHost, policy: string, more: object = {}) =>
  (await host.host.call('policy-compiler', 'opa', 'policy/prepare', { policy, use: 'token', ...more })) as Prepared;
const explain = async (host: TestHost, policy: string) =>
  (await host.host.call('policy-compiler', 'opa', 'policy/explainer', { policy, use: 'token' })) as Prepared;
const store = () => new Objm(nats).open('MUSTER_POLICIES');

async function shared(policy: string): Promise<Buffer> {
  const name = sourceKey(policy, 'token');
  return until('the policy and what explains it are in the store', async () => {
    const bytes = await store()
      .then((open) => open.getBlob(name))
      .catch(() => null);
    return bytes && Buffer.from(bytes).includes('"explainer"') ? Buffer.from(bytes) : undefined;
  });
}

beforeAll(async () => {
  opa = await goProgram('opa');
  fleet = await Fleet.start({ 'plugin.choria.network.stream.store': join(folder, 'jetstream') });
  const files = await fleet.certificate('looker.test');
  const [certFile = '', keyFile = '', caFile = ''] = ['certificate', 'key', 'ca'].map(
    (name) => files[`plugin.security.file.${name}`],
  );
  nats = await connect({ servers: `127.0.0.1:${fleet.port}`, tls: { certFile, keyFile, caFile } });
}, 240_000);
afterEach(async () => {
  for (const host of hosts.splice(0)) await host.stop();
});
afterAll(async () => {
  await nats?.close();
  await fleet?.stop();
  remove();
});

test('what one compiled another evaluates and explains without a compiler', async () => {
  const policy = policyOf('shared');
  const [first, second] = [await compiler(opa), await compiler('no-such-program')];
  const made = await prepare(first, policy);
  await shared(policy);
  const found = await prepare(second, policy);
  expect(found).toMatchObject({ ok: true });
  expect(Buffer.compare(Buffer.from(found.module ?? []), Buffer.from(made.module ?? []))).toBe(0);
  expect(await explain(second, policy)).toMatchObject({ ok: true, module: expect.any(Uint8Array) });
});

test('what is only tried is not shared', async () => {
  const policy = policyOf('tried');
  const first = await compiler(opa);
  expect(await prepare(first, policy, { share: false })).toMatchObject({ ok: true });
  const other = policyOf('shared after it');
  await prepare(first, other);
  await shared(other);
  expect(await (await store()).info(sourceKey(policy, 'token'))).toBeNull();
});

test('what somebody else put into the store is not believed', async () => {
  const policy = policyOf('planted');
  const first = await compiler(opa, { 'plugin.muster.policies.signing_key': stranger.seedFile });
  await prepare(first, policy);
  await shared(policy);
  const second = await compiler('no-such-program');
  expect(await prepare(second, policy)).toMatchObject({ ok: false, reason: expect.stringMatching(/nobody has compiled/) });
  expect(second.log.map(({ message }) => message).join('\n')).toMatch(
    /in the object store MUSTER_POLICIES is not used: none of the keys of plugin\.muster\.policies\.trusted_keys signed it/,
  );
  const other = policyOf('of one who is trusted');
  await prepare(await compiler(opa), other);
  await shared(other);
  expect(await prepare(second, other)).toMatchObject({ ok: true });
});

test('without keys the store is neither filled nor asked', async () => {
  const policy = policyOf('signed by nobody');
  const before = policyOf('signed before');
  await prepare(await compiler(opa), before);
  await shared(before);
  const none = { 'plugin.muster.policies.signing_key': undefined, 'plugin.muster.policies.trusted_keys': undefined };
  const first = await compiler(opa, none);
  await prepare(first, policy);
  expect(await explain(first, policy)).toMatchObject({ ok: true });
  expect(await (await store()).info(sourceKey(policy, 'token'))).toBeNull();
  expect(await prepare(await compiler('no-such-program', none), before)).toMatchObject({ ok: false });
});

test('what was altered in the store is not used', async () => {
  const policy = policyOf('altered');
  const foreign = policyOf('another');
  const first = await compiler(opa);
  await prepare(first, policy);
  await prepare(first, foreign);
  await shared(policy);
  const other = await shared(foreign);
  const second = await compiler('no-such-program');
  await (await store()).putBlob({ name: sourceKey(policy, 'token') }, other);
  expect(await prepare(second, policy)).toMatchObject({ ok: false });
  expect(second.log.map(({ message }) => message).join('\n')).toMatch(/is not used: it is about another policy/);
});

test('a store that is down denies what is not at hand, soon, and holds nobody up who has it', async () => {
  const policy = policyOf('at hand');
  const host = await compiler('no-such-program');
  const first = await compiler(opa);
  await prepare(first, policy);
  await shared(policy);
  expect(await prepare(host, policy)).toMatchObject({ ok: true });
  await fleet.broker?.stop();
  try {
    const begun = Date.now();
    expect(await prepare(host, policyOf('not at hand'))).toMatchObject({
      ok: false,
      reason: expect.stringMatching(/nobody has compiled/),
    });
    expect(Date.now() - begun).toBeLessThan(5_000);
    expect(await prepare(host, policy)).toMatchObject({ ok: true });
    // Who has a compiler needs no broker.
    expect(await prepare(first, policyOf('made while it is down'))).toMatchObject({ ok: true });
  } finally {
    await fleet.startBroker();
  }
  const later = policyOf('made when it is back');
  await until(
    'it is shared again',
    async () => {
      await prepare(first, later);
      return (
        (await store()
          .then((open) => open.info(sourceKey(later, 'token')))
          .catch(() => null)) !== null
      );
    },
    30_000,
  );
});
