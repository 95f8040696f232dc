// The hook `placement`: which overlay nodes get, by rules, by their like and by what is free, and that they get it again.

import { randomUUID } from 'node:crypto';
import { appendFileSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Kvm } from '@nats-io/kv';
import { connect } from 'nats';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { overlayKey, placementBucket, placementKey } from '../../plugins/wire/provisioning/overlay-placements.ts';
import type { ProvisionReply, ProvisionRequest } from '../../plugins/wire/provisioning/reply.ts';
import { temporaryFolder, until, writeBundle } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';
import { NatsServer } from '../support/nats.ts';
import { asking, provision, rsaKeys } from '../support/provisioning.ts';

const { path: work, remove } = temporaryFolder();
const hosts: TestHost[] = [];

/** Signs for everybody but those whose name says otherwise. */
const signer = dirname(
  writeBundle(
    join(work, 'signers'),
    'stub',
    'bundle: stub\nversion: 1.0.0\nplugins:\n  - { kind: provisioning-hook, name: stub, runner: inline, module: ./stub.mjs, limits: { concurrency: 64 } }\n',
    {
      'stub.mjs': `export default { kind: 'provisioning-hook', version: '1', methods: {
  'hook/provision': async ({ identity }) => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (identity.startsWith('refused')) throw new Error('not this one');
    if (identity.startsWith('later')) return { defer: true, msg: 'later' };
    return { certificate: 'C', ca: 'A', ssldir: '/ssl', configuration: { identity, 'plugin.choria.middleware_hosts': 'nowhere:1' },
      action_policies: { 'default.policy': 'signer', 'own.policy': 'signer' } };
  },
  'hook/revoke': ({ serial }) => ({ revoked: serial === 'AB' }),
} };
`,
    },
  ),
);

afterEach(async () => {
  for (const host of hosts.splice(0)) await host.stop();
});
afterAll(remove);

interface Options {
  readonly inlineAs?: 'persistent';
  readonly port?: number;
  readonly config?: Readonly<Record<string, unknown>>;
}

function writeOverlays(text: string, file = join(work, `overlays-${randomUUID()}.yaml`)): string {
  writeFileSync(file, text);
  return file;
}

async function hostOf(text: string, { inlineAs, port, config }: Options = {}): Promise<TestHost> {
  const opener =
    port === undefined
      ? undefined
      : dirname(
          writeBundle(
            join(work, `opener-${port}`),
            'opener',
            'bundle: opener\nversion: 1.0.0\nplugins:\n  - { kind: service, name: opener, runner: inline, module: ./opener.mjs, needs: { bus: { connections: [provisioning], open: true } } }\n',
            {
              'opener.mjs': `export default { kind: 'service', version: '1', create: (host) => ({
  methods: { 'service/status': () => ({ healthy: true, summary: '', details: {} }) },
  activate: () => host.bus.open({ connection: 'provisioning', servers: ['127.0.0.1:${port}'] }),
}) };
`,
            },
          ),
        );
  const host = await startHost({
    distribution: true,
    bundles: [signer, ...(opener ? [opener] : [])],
    ...(opener && { services: ['opener'] }),
    ...(inlineAs && { inlineAs }),
    config: { 'plugin.muster.placement.overlays': writeOverlays(text), 'plugin.muster.placement.hook': 'stub', ...config },
  });
  hosts.push(host);
  return host;
}

interface Node {
  readonly facts?: object;
  readonly classes?: readonly string[];
  readonly jwt?: object;
}

const request = (identity: string, { facts = {}, classes = [], jwt }: Node = {}): ProvisionRequest => ({
  identity,
  csr: null,
  ed25519_pubkey: null,
  inventory: JSON.stringify({ facts, classes, agents: ['rpcutil'], version: '0.29.4' }),
  jwt: (jwt ?? null) as ProvisionRequest['jwt'] & null,
});
const ask = (host: TestHost, identity: string, node?: Node): Promise<ProvisionReply> =>
  provision(host, 'placement', request(identity, node));
/** The name of the overlay, by its broker, or why there is none. */
const placed = async (host: TestHost, identity: string, node?: Node): Promise<string> => {
  const { configuration, msg } = await ask(host, identity, node);
  return configuration?.['plugin.choria.middleware_hosts']?.split(':')[0] ?? String(msg);
};

const two = `overlays:
  - { name: a, brokers: [a:4222] }
  - { name: b, brokers: [b:4222] }
`;

describe.each([['inline'], ['persistent']] as const)('%s', (runner) => {
  const options = runner === 'persistent' ? { inlineAs: runner } : {};

  test('the signing hook signs, and the overlay says where the node belongs', async () => {
    const host = await hostOf(
      `overlays:
  - name: a
    brokers: [a1:4222, a2:4222]
    collectives: [uk, mcollective]
    settings: { registration: inventory_content, registerinterval: 300, who: "{{identity}} in {{ssldir}}" }
    action_policies: { default.policy: "policy default deny\\n" }
    opa_policies: { default.rego: "package io.choria.aaa.policy" }
`,
      options,
    );
    expect(await ask(host, 'n1.test')).toEqual({
      certificate: 'C',
      ca: 'A',
      ssldir: '/ssl',
      configuration: {
        identity: 'n1.test',
        'plugin.choria.middleware_hosts': 'a1:4222,a2:4222',
        collectives: 'uk,mcollective',
        main_collective: 'uk',
        registration: 'inventory_content',
        registerinterval: '300',
        who: 'n1.test in /ssl',
      },
      action_policies: { 'default.policy': 'policy default deny\n', 'own.policy': 'signer' },
      opa_policies: { 'default.rego': 'package io.choria.aaa.policy' },
    });
    const revoked = await host.host.call('provisioning-hook', 'placement', 'hook/revoke', { serial: 'AB', reason: 'superseded' });
    expect(revoked).toEqual({ revoked: true });
  });

  test('nodes spread over what is free, none beyond its capacity, and no place is a reason to wait', async () => {
    const host = await hostOf(
      'overlays:\n  - { name: a, brokers: [a:1], capacity: 4 }\n  - { name: b, brokers: [b:1], capacity: 2 }\n',
      options,
    );
    const answers = await Promise.all(Array.from({ length: 9 }, (_, index) => placed(host, `n${index}.test`)));
    const count = (what: string) => answers.filter((answer) => answer === what).length;
    expect([count('a'), count('b')]).toEqual([4, 2]);
    expect(answers.filter((answer) => /^there is no overlay for n\d\.test: a, b is full$/.test(answer))).toHaveLength(3);
  });

  test('a node that asks again gets the same, also from a host that starts anew', async () => {
    const host = await hostOf(two, options);
    const names = Array.from({ length: 10 }, (_, index) => `n${index}.test`);
    const first = await Promise.all(names.map((name) => placed(host, name)));
    expect(new Set(first)).toEqual(new Set(['a', 'b']));
    expect(await Promise.all(names.toReversed().map((name) => placed(host, name)))).toEqual(first.toReversed());
  });
});

test('rules take facts, classes, names, expressions, and what the token says; the first that fits counts', async () => {
  const host = await hostOf(`overlays:
  - { name: acme, brokers: [acme:1] }
  - { name: org, brokers: [org:1] }
  - { name: uk, brokers: [uk:1] }
  - { name: web, brokers: [web:1] }
  - { name: named, brokers: [named:1] }
  - { name: big, brokers: [big:1] }
rules:
  - { overlays: [acme], extensions: ["customer=acme"] }
  - { overlays: [org], ou: engineering }
  - { overlays: [uk], facts: ["location.country=uk", "cpus>4"] }
  - { overlays: [web], classes: ["/^role::web/"] }
  - { overlays: [named], identities: ["/^special/"] }
  - { overlays: [big], expression: 'fact("cpus") > 63 and not with("role::db")' }
`);
  const uk = { location: { country: 'uk' }, cpus: 8 };
  expect(await placed(host, 'n1.test', { jwt: { cht: 'x', extensions: { customer: 'acme' } }, facts: uk })).toBe('acme');
  expect(await placed(host, 'n2.test', { jwt: { cht: 'x', extensions: null, ou: 'engineering' }, facts: uk })).toBe('org');
  expect(await placed(host, 'n3.test', { facts: uk })).toBe('uk');
  expect(await placed(host, 'n4.test', { facts: { ...uk, cpus: 2 }, classes: ['role::web::front'] })).toBe('web');
  expect(await placed(host, 'special.test')).toBe('named');
  expect(await placed(host, 'n5.test', { facts: { cpus: 64 } })).toBe('big');
  expect(await placed(host, 'n6.test', { facts: { cpus: 64 }, classes: ['role::db'] })).toBe(
    'there is no overlay for n6.test: no rule fits it',
  );
});

test('nodes of one service are together, replicas of it apart, while there is room', async () => {
  const together = await hostOf(`${two}together: service\n`);
  const mail = await placed(together, 'm1.test', { facts: { service: 'mail' } });
  const shop = await placed(together, 's1.test', { facts: { service: 'shop' } });
  expect(new Set([mail, shop]).size).toBe(2);
  for (const number of [2, 3, 4, 5]) expect(await placed(together, `m${number}.test`, { facts: { service: 'mail' } })).toBe(mail);
  const full = await hostOf(
    'overlays:\n  - { name: a, brokers: [a:1], capacity: 2 }\n  - { name: b, brokers: [b:1] }\ntogether: service\n',
  );
  const places = [];
  for (const number of [1, 2, 3]) places.push(await placed(full, `m${number}.test`, { facts: { service: 'mail' } }));
  expect(places).toEqual(['a', 'a', 'b']);
  const spread = await hostOf(`${two}spread: shard\n`);
  const shards = [];
  for (const number of [1, 2, 3, 4])
    shards.push(await placed(spread, `r${number}.test`, { facts: { shard: number > 2 ? 'x' : 'y' } }));
  expect(new Set(shards.slice(0, 2)).size).toBe(2);
  expect(new Set(shards.slice(2)).size).toBe(2);
});

test('weights share nodes out', async () => {
  const host = await hostOf('overlays:\n  - { name: a, brokers: [a:1], weight: 3 }\n  - { name: b, brokers: [b:1] }\n');
  const answers = [];
  for (let number = 0; number < 8; number += 1) answers.push(await placed(host, `n${number}.test`));
  expect(answers.filter((answer) => answer === 'a')).toHaveLength(6);
});

test('a node that the signing hook does not want takes no place', async () => {
  const host = await hostOf('overlays:\n  - { name: a, brokers: [a:1], capacity: 1 }\n');
  await expect(ask(host, 'refused.test')).rejects.toThrow('not this one');
  expect(await ask(host, 'later.test')).toEqual({ defer: true, msg: 'later' });
  expect(await placed(host, 'n1.test')).toBe('a');
});

test('a change of the file counts at once: a draining overlay gives its nodes away', async () => {
  const file = writeOverlays('overlays:\n  - { name: a, brokers: [a:1] }\n  - { name: b, brokers: [b:1], draining: true }\n');
  const host = await hostOf('', { config: { 'plugin.muster.placement.overlays': file } });
  for (const number of [1, 2, 3]) expect(await placed(host, `n${number}.test`)).toBe('a');
  writeOverlays('overlays:\n  - { name: a, brokers: [a:1], draining: true }\n  - { name: b, brokers: [b:1] }\n', file);
  for (const number of [1, 2, 3]) expect(await placed(host, `n${number}.test`)).toBe('b');
  writeOverlays('overlays:\n  - { name: a, brokers: [a:1], draining: true }\n', file);
  expect(await placed(host, 'n1.test')).toBe('there is no overlay for n1.test: a takes no nodes');
});

test('without a bucket placements are in a file, which half a line does not spoil', async () => {
  const host = await hostOf(two);
  const first = [await placed(host, 'n1.test'), await placed(host, 'n2.test')];
  const file = join(host.folder, 'plugins/provisioning-hook.placement/state/placements.jsonl');
  expect(readFileSync(file, 'utf8').trim().split('\n')).toHaveLength(2);
  expect(statSync(file).mode & 0o777).toBe(0o600);
  appendFileSync(file, '{"identity":"n3.te');
  const plugin = host.host.plugin('provisioning-hook', 'placement');
  const version = await plugin?.prepare({ ...plugin.spec, runner: 'persistent' });
  await (await version?.commit())?.drained;
  expect([await placed(host, 'n1.test'), await placed(host, 'n2.test')]).toEqual(first);
});

test.each([
  ['no file', '/no/such/file', /\/no\/such\/file \(plugin\.muster\.placement\.overlays\): ENOENT/],
  ['not set', '', /set plugin\.muster\.placement\.overlays/],
  ['no overlays', 'rules: []', /must have required property 'overlays'/],
  ['a broker without a port', 'overlays: [{ name: a, brokers: [a] }]', /overlays\.0\.brokers\.0 must match pattern/],
  ['one name twice', 'overlays: [{ name: a, brokers: ["a:1"] }, { name: a, brokers: ["b:1"] }]', /two overlays have one name/],
  ['a rule for nobody', `${two}rules: [{ overlays: [c] }]`, /rules\.0 names the overlay c, which is none/],
  ['a fact that is none', `${two}rules: [{ overlays: [a], facts: [uk] }]`, /rules\.0: 'uk' is no fact filter/],
  [
    'an expression that is none',
    `${two}rules: [{ overlays: [a], expression: "1 +" }]`,
    /rules\.0: the expression '1 \+' can not be used/,
  ],
  [
    'an extension that is none',
    `${two}rules: [{ overlays: [a], extensions: [x] }]`,
    /rules\.0: 'x' says nothing of an extension/,
  ],
])('a file that can not be used is named, with what is wrong in it: %s', async (_what, text, message) => {
  const file = text === '' || text.startsWith('/') ? text : writeOverlays(text);
  const host = await hostOf('', { config: { 'plugin.muster.placement.overlays': file } });
  await expect(ask(host, 'n1.test')).rejects.toThrow(message);
});

test('the hook does not ask itself, and says so', async () => {
  const host = await hostOf(two, { config: { 'plugin.muster.placement.hook': 'placement' } });
  await expect(ask(host, 'n1.test')).rejects.toThrow('plugin.muster.placement.hook names the hook placement itself');
});

test('the authority that comes with it signs for nodes of overlays', async () => {
  const host = await hostOf(two, { config: { 'plugin.muster.placement.hook': 'built-in-ca' } });
  const reply = await provision(host, 'placement', asking({ identity: 'n1.example.net', keys: rsaKeys() }));
  expect(reply.certificate).toContain('BEGIN CERTIFICATE');
  expect(reply.configuration).toMatchObject({ identity: 'n1.example.net', 'plugin.choria.middleware_hosts': 'a:4222' });
});

describe('with a bucket', () => {
  test('two provisioners share placements, and what operators say of overlays', async () => {
    const server = await NatsServer.start();
    const nats = await connect({ servers: `127.0.0.1:${server.port}` });
    try {
      const text = 'overlays:\n  - { name: a, brokers: [a:1], capacity: 6 }\n  - { name: b, brokers: [b:1], capacity: 6 }\n';
      const [one, other] = [await hostOf(text, { port: server.port }), await hostOf(text, { port: server.port })];
      const names = Array.from({ length: 10 }, (_, index) => `n${index}.test`);
      const first = await Promise.all(names.map((name) => placed(one, name)));
      await placed(one, 'odd name');
      expect(await Promise.all(names.map((name) => placed(other, name)))).toEqual(first);
      const bucket = await new Kvm(nats).open(placementBucket);
      expect(JSON.parse((await bucket.get(placementKey('n0.test')))?.string() ?? '')).toMatchObject({ overlay: first[0] });
      await bucket.put(overlayKey('a'), JSON.stringify({ draining: true, at: Date.now() }));
      const moving = names.filter((_, index) => first[index] === 'a');
      await until('the first of them moves', async () => (await placed(one, String(moving[0]))) === 'b');
      expect(await placed(one, 'late.test')).toMatch(/^there is no overlay for late\.test: b is full$/);
      await bucket.delete(overlayKey('a'));
      await until('there is room again', async () => (await placed(one, 'late.test')) === 'a');
    } finally {
      await nats.close();
      await server.stop();
    }
  });
});
