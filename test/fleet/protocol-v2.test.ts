// Protocol v2: tokens and ed25519 keys in place of certificates; the broker still asks for a certificate to connect.

import { sign } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Kvm } from '@nats-io/kv';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { emptyFilter } from '../../plugins/wire/filter.ts';
import { keyFromSeed } from '../../plugins/wire/tokens/ed25519.ts';
import { requestText, secureRequestText, transportBytes } from '../../plugins/wire/v2/messages.ts';
import { Fleet, type NodeOptions, type TestClient } from '../support/fleet.ts';
import { temporaryFolder, until } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';
import {
  clientToken,
  organizationSeed,
  publicOf,
  revocation,
  seedOf,
  serverToken,
  signingKey,
  tokenConfig,
} from '../support/tokens.ts';

const { path: folder, remove } = temporaryFolder();

/** The certificate for the connection is given under the provider's own keys. */
async function connecting(fleet: Fleet, name: string, own: Readonly<Record<string, string>>): Promise<Record<string, string>> {
  const files = await fleet.certificate(name);
  return {
    ...own,
    'plugin.security.choria.certificate': files['plugin.security.file.certificate'] ?? '',
    'plugin.security.choria.key': files['plugin.security.file.key'] ?? '',
    'plugin.security.choria.ca': files['plugin.security.file.ca'] ?? '',
  };
}

describe.each([
  ['inline', {}],
  ['persistent', { inlineAs: 'persistent' }],
] as const)('a fleet of protocol v2, plugins of the node %s', (_name, runner) => {
  let fleet: Fleet;
  let anna: TestClient;

  const client = async (callerid: string, permissions: Readonly<Record<string, boolean>>) =>
    fleet.client(
      'operator.mcollective',
      await connecting(fleet, 'operator.mcollective', tokenConfig(folder, callerid, await clientToken(callerid, permissions))),
    );
  const node = async (identity: string, options: NodeOptions = {}) =>
    fleet.node(identity, {
      ...runner,
      ...options,
      config: {
        ...(await connecting(fleet, identity, tokenConfig(folder, identity, await serverToken(identity)))),
        ...options.config,
      },
    });

  const logged = () => [...fleet.nodes.values()].flatMap(({ log }) => log.map(({ message }) => message)).join('\n');

  beforeAll(async () => {
    fleet = await Fleet.start({ 'plugin.choria.network.stream.store': join(folder, `streams-${_name}`) });
    await new Kvm(await fleet.connection()).create('MUSTER_REVOKED');
    await node('n1.test', { facts: { site: 'oslo' }, policies: { rpcutil: ['allow\tup=anna\tping inventory\t*\t*'] } });
    anna = await client('up=anna', { fleet_management: true });
  });
  afterAll(async () => {
    await fleet?.stop();
  });

  test('is discovered and answers, in the collective choria', async () => {
    expect(anna.fleet.mainCollective).toBe('choria');
    const { replies, statistics } = await anna.call({ agent: 'rpcutil', action: 'ping', data: {} });
    expect(replies.map(({ sender, statuscode }) => [sender, statuscode])).toEqual([['n1.test', 0]]);
    expect(statistics).toMatchObject({ ok: 1, noResponses: [] });
  });

  test('answers a denied action with a denial: the caller is who the token says', async () => {
    expect(await anna.ask('n1.test', 'rpcutil', 'get_fact', { fact: 'site' })).toMatchObject({ statuscode: 1 });
    const bert = await client('up=bert', { fleet_management: true });
    expect(await bert.ask('n1.test', 'rpcutil', 'ping')).toMatchObject({ statuscode: 1 });
  });

  test('is silent to one who has no right to reach nodes, and says why in its log', async () => {
    const carl = await client('up=carl', { events_viewer: true });
    await expect(carl.ask('n1.test', 'rpcutil', 'ping', {}, { timeoutMs: 300 })).rejects.toThrow('did not answer');
    const reason = 'up=carl may not reach nodes (fleet_management, signed_fleet_management)';
    await until('its log says why', () => logged().includes(reason));
  });

  test('is silent to a token that was revoked, within a moment', async () => {
    const dora = await client('up=dora', { fleet_management: true });
    expect(await dora.ask('n1.test', 'rpcutil', 'ping')).toMatchObject({ statuscode: 1 });
    const store = await new Kvm(await fleet.connection()).open('MUSTER_REVOKED');
    const stolen = { kind: 'callerid', value: 'up=dora', by: 'up=root', reason: 'stolen' } as const;
    const byStranger = await revocation({ ...stolen, value: 'up=anna' }, { key: signingKey('77'.repeat(32)) });
    await store.put(byStranger.key, byStranger.value);
    const { key, value } = await revocation(stolen);
    await store.put(key, value);
    await until('the node refuses it', async () => {
      await dora.ask('n1.test', 'rpcutil', 'ping', {}, { timeoutMs: 200 }).catch(() => undefined);
      return logged().includes('the token of up=dora was revoked: stolen');
    });
    expect(await anna.ask('n1.test', 'rpcutil', 'ping')).toMatchObject({ statuscode: 0 });
    const refusals = () => logged().split('the token of up=dora was revoked').length;
    await store.purge(key);
    await store.put(key, JSON.stringify({ kind: 'callerid', value: 'up=dora' }));
    await until('the node has seen it', () => logged().includes('counts for nothing: this is no JSON Web Token'));
    const before = refusals();
    await expect(dora.ask('n1.test', 'rpcutil', 'ping', {}, { timeoutMs: 300 })).rejects.toThrow('did not answer');
    await until('it refused once more', () => refusals() > before);
  });

  test('does not start with the token of another node, or with nobody to trust', async () => {
    const other = tokenConfig(folder, 'n1.test', await serverToken('n1.test'));
    await expect(node('n2.test', { config: other })).rejects.toThrow('is the token of n1.test, and this node is called n2.test');
    await expect(node('n3.test', { config: { 'plugin.security.issuer.names': '' } })).rejects.toThrow('nobody is trusted');
  });
});

interface Signed {
  /** Permissions of the caller's token. */
  readonly caller: Readonly<Record<string, boolean>>;
  /** Permissions of the delegator's token; without, the caller signs himself. */
  readonly delegator?: Readonly<Record<string, boolean>>;
  /** Caller in the request. */
  readonly requested?: string;
  readonly tokenOf?: string;
  readonly by?: string;
  readonly change?: (text: string) => string;
  readonly signature?: Buffer;
}

interface NodeSays {
  readonly sender?: string;
  readonly caller?: string;
  readonly change?: (text: string) => string;
  /** Whose key signs. */
  readonly key?: string;
  readonly token?: () => Promise<string>;
  readonly signer?: () => Promise<string>;
  readonly signature?: Buffer;
}

describe('a request of protocol v2', () => {
  let host: TestHost;
  beforeAll(async () => {
    host = await startHost({
      distribution: true,
      config: { ...tokenConfig(folder, 'n1.test', await serverToken('n1.test')), identity: 'n1.test' },
    });
  });
  afterAll(() => host.stop());

  async function open(signed: Signed) {
    const { caller, delegator, tokenOf = 'up=anna', requested = tokenOf, by, change = (text) => text } = signed;
    const text = requestText({
      id: 'a1',
      sender: 'jump.test',
      caller: requested,
      collective: 'choria',
      agent: 'rpcutil',
      ttl: 60,
      time: Date.now() / 1000,
      filter: emptyFilter,
      body: '{}',
    });
    const key = keyFromSeed(seedOf(delegator ? 'up=signer' : tokenOf));
    const secure = secureRequestText({
      request: Buffer.from(change(text)),
      signature: signed.signature ?? sign(null, Buffer.from(text), key),
      caller: await clientToken(tokenOf, caller, by === undefined ? {} : { by }),
      ...(delegator && { signer: await clientToken('up=signer', delegator) }),
    });
    const payload = transportBytes(secure, { replyTo: 'choria.reply.x.a1', sender: 'jump.test', seenBy: [] });
    const { results } = (await host.host.call('security', 'jwt', 'security/open', { messages: [{ payload }] })) as {
      results: { ok: boolean; reason?: string; request?: { claims: object; caller: string; timeText: string } }[];
    };
    const [result] = results;
    if (!result) throw new Error('no result');
    return result;
  }

  test('signed by its caller is good, and brings what his token says', async () => {
    const result = await open({ caller: { fleet_management: true } });
    expect(result).toMatchObject({
      ok: true,
      request: { version: 2, caller: 'up=anna', agent: 'rpcutil', claims: { callerid: 'up=anna', ou: 'choria' } },
    });
    expect(result.request?.timeText).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  });

  test('signed for its caller is good, also in the name that signers give him', async () => {
    const delegator = { authentication_delegator: true };
    const caller = { signed_fleet_management: true };
    expect(await open({ caller, delegator })).toMatchObject({ ok: true });
    expect(await open({ caller, delegator, tokenOf: 'oidc=ann.lee@x.net', requested: 'oidc=ann_lee_x_net' })).toMatchObject({
      ok: true,
    });
  });

  test.each([
    ['himself where only a signer may', { caller: { signed_fleet_management: true } }, 'only by a signer'],
    [
      'himself where only a signer may, with both rights',
      { caller: { signed_fleet_management: true, fleet_management: true } },
      'only by a signer',
    ],
    ['without a right to reach nodes', { caller: {} }, 'may not reach nodes'],
    ['in the name of another', { caller: { fleet_management: true }, requested: 'up=bert' }, 'shows the token of up=anna'],
    ['with a token of somebody unknown', { caller: { fleet_management: true }, by: '77'.repeat(32) }, 'not signed by the issuer'],
    [
      'and altered',
      { caller: { fleet_management: true }, change: (text: string) => text.replace('rpcutil', 'package') },
      'was altered',
    ],
    ['with no signature', { caller: { fleet_management: true }, signature: Buffer.from('insecure') }, 'is not signed'],
    [
      'for one without a right to reach nodes',
      { caller: {}, delegator: { authentication_delegator: true } },
      'may not reach nodes',
    ],
    [
      'by one who may not sign for others',
      { caller: { fleet_management: true }, delegator: { fleet_management: true } },
      'may not sign for others',
    ],
    [
      'for one caller with the token of another',
      { caller: { fleet_management: true }, delegator: { authentication_delegator: true }, requested: 'up=root' },
      'in the name of up=root',
    ],
  ] satisfies [string, Signed, string][])('signed %s is refused', async (_name, signed, reason) => {
    const result = await open(signed);
    expect(result.ok).toBe(false);
    expect(result.reason).toContain(reason);
  });

  test.each([
    ['of itself is read', {}, undefined],
    ['of another node is refused', { sender: 'n2.test' }, 'n1.test tells of the node n2.test, which is not its own name'],
    ['as another is refused', { caller: 'n2.test' }, 'which is not its own name'],
    [
      'with the token of a user is refused',
      { token: () => clientToken('up=anna', { fleet_management: true }) },
      'none of a node',
    ],
    ['and altered is refused', { change: (text: string) => text.replace('"ttl":60', '"ttl":90') }, 'does not belong'],
    ['with the key of another is refused', { key: 'n2.test' }, 'does not belong to this request'],
    ['by a delegator is refused', { signer: () => clientToken('up=signer', { authentication_delegator: true }) }, 'nobody signs'],
    ['without a signature is refused', { signature: Buffer.from('insecure') }, 'is not signed'],
  ] satisfies [string, NodeSays, string | undefined][])('of a node that tells %s', async (_name, told, reason) => {
    const says: NodeSays = told;
    const { sender = 'n1.test', caller = 'n1.test', change = (text) => text, key = 'n1.test' } = says;
    const fields = { id: 'r1', sender, caller, collective: 'choria', agent: 'registration', ttl: 60, time: Date.now() / 1000 };
    const text = requestText({ ...fields, filter: emptyFilter, body: '{}' });
    const signer = await says.signer?.();
    const secure = secureRequestText({
      request: Buffer.from(change(text)),
      signature: says.signature ?? sign(null, Buffer.from(text), keyFromSeed(seedOf(key))),
      caller: await (says.token ?? (() => serverToken('n1.test')))(),
      ...(signer !== undefined && { signer }),
    });
    const payload = transportBytes(secure, { replyTo: 'dev.null', sender, seenBy: [] });
    const { results } = (await host.host.call('security', 'jwt', 'security/open', {
      from: 'nodes',
      messages: [{ payload }],
    })) as { results: { ok: boolean; reason?: string; request?: { sender: string; version: number } }[] };
    if (reason === undefined) expect(results).toMatchObject([{ ok: true, request: { sender: 'n1.test', version: 2 } }]);
    else expect(results).toMatchObject([{ ok: false, reason: expect.stringContaining(reason) }]);
  });

  test('of protocol v1 is refused by its version', async () => {
    const payload = Buffer.from(JSON.stringify({ protocol: 'choria:transport:1', data: 'e30=', headers: {} }));
    const { results } = (await host.host.call('security', 'jwt', 'security/open', { messages: [{ payload }] })) as {
      results: object[];
    };
    expect(results).toMatchObject([{ ok: false, code: 'WIRE_VERSION' }]);
  });

  // Published conformance vectors, where a checkout has them beside it.
  const file = new URL('../../../shared/reference/vectors/aaa.json', import.meta.url);
  interface Vector {
    readonly id: string;
    readonly caller_permissions: Readonly<Record<string, boolean>>;
    readonly signer_permissions: Readonly<Record<string, boolean>> | null;
    readonly request_caller: string;
    readonly token_caller: string;
    readonly expect: { readonly accept: boolean };
  }
  const present = existsSync(file);
  const vectors: readonly Vector[] = present ? JSON.parse(readFileSync(file, 'utf8')).node_v2_verification : [];
  test.skipIf(!present).each(vectors.length > 0 ? vectors : [])('$id of ../shared', async (vector) => {
    const {
      caller_permissions: caller,
      signer_permissions: delegator,
      request_caller: requested,
      token_caller: tokenOf,
    } = vector;
    expect((await open({ caller, requested, tokenOf, ...(delegator && { delegator }) })).ok).toBe(vector.expect.accept);
  });
});

describe('a user of protocol v2', () => {
  const open = async (config: Readonly<Record<string, string>>) => {
    const host = await startHost({ distribution: true, config });
    try {
      return await host.host.call('security', 'jwt', 'security/identity', { role: 'client' });
    } finally {
      await host.stop();
    }
  };

  test('is told what is wrong with token or seed', async () => {
    const good = tokenConfig(folder, 'up=dora', await clientToken('up=dora', {}));
    expect(await open(good)).toMatchObject({ callerid: 'up=dora', seed: good['plugin.security.choria.seed_file'] });
    const none = join(folder, 'none.jwt');
    await expect(open({ ...good, 'plugin.security.choria.token_file': none })).rejects.toThrow(
      /none\.jwt can not be read.*muster login/s,
    );
    const past = await clientToken('up=dora', {}, { now: new Date(Date.now() - 7_200_000) });
    await expect(open(tokenConfig(folder, 'up=dora', past))).rejects.toThrow(/token of up=dora ended at .*muster login/);
    const swapped = tokenConfig(folder, 'up=dora', await clientToken('up=dora', {}));
    writeFileSync(swapped['plugin.security.choria.seed_file'] ?? '', seedOf('somebody'));
    await expect(open(swapped)).rejects.toThrow('does not belong to the token');
    await expect(open({ ...tokenConfig(folder, 'n1', await serverToken('n1')) })).rejects.toThrow('is no token of a user');
  });

  test('trusts organizations or keys, not both', async () => {
    const both = { 'plugin.security.choria.trusted_signers': publicOf(organizationSeed) };
    const config = { ...tokenConfig(folder, 'n1.test', await serverToken('n1.test')), identity: 'n1.test', ...both };
    const host = await startHost({ distribution: true, config });
    try {
      await expect(host.host.call('security', 'jwt', 'security/identity', { role: 'server' })).rejects.toThrow(
        'exclude each other',
      );
    } finally {
      await host.stop();
    }
  });
});

afterAll(remove);
