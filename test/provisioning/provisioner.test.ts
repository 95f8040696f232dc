// The provisioner against nodes that are made by hand as Choria's are, on a real broker.

import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { questions } from '../../plugins/provisioner/control.ts';
import type { StepEvent } from '../../plugins/provisioner/journal.ts';
import { lifecycleEvent, lifecycleSubject } from '../../plugins/wire/lifecycle.ts';
import { makeRequest } from '../../plugins/wire/pki/request.ts';
import { openPrivateKey, sharedSecret, transitKeysOf } from '../../plugins/wire/provisioning/key-transit.ts';
import { readVerificationKey } from '../../plugins/wire/tokens/jwt.ts';
import { verifyServerToken } from '../../plugins/wire/tokens/server.ts';
import { crookedHook } from '../support/crooked-hook.ts';
import { newIssuer, ProvisioningNetwork, statusOf } from '../support/enrolling-network.ts';
import { freePort, until } from '../support/folders.ts';
import type { TestHost } from '../support/hosts.ts';
import { type Answer, type Asked, sharedKeys, WaitingNode, type WaitingNodeOptions } from '../support/waiting-node.ts';

let network: ProvisioningNetwork;
let nodes: NatsConnection;
let overlay: NatsConnection;
let operator: NatsConnection;
let provisioner: TestHost;
let monitorPort = 0;
const events: StepEvent[] = [];

beforeAll(async () => {
  network = await ProvisioningNetwork.start();
  nodes = await network.connection();
  overlay = await network.connection('overlay');
  operator = await network.connection('provisioner');
  operator.subscribe('choria.provisioning.event.*', { callback: (_error, message) => void events.push(message.json()) });
  const hook = crookedHook(network.folder);
  monitorPort = await freePort();
  provisioner = await network.provisioner(
    {
      'plugin.provisioner.hook': 'crooked',
      'plugin.provisioner.site': 'mla',
      'plugin.provisioner.monitor_port': monitorPort,
    },
    { bundles: [hook] },
  );
  await until('it leads', async () => (await statusOf(provisioner)).leads);
});
afterAll(() => network.stop());

async function waiting(identity: string, more: Partial<WaitingNodeOptions> = {}): Promise<WaitingNode> {
  return new WaitingNode(nodes, { identity, token: more.token ?? (await network.token()), overlay, ...more }).start();
}

const stepsOf = (identity: string) => events.filter(({ subject }) => subject === identity).map(({ data }) => data.step);
const told = (identity: string, step: string) =>
  until(`${identity} is ${step}`, () => events.find(({ subject, data }) => subject === identity && data.step === step));

/** It is put off with a reason, and never configured. */
async function putOff(node: WaitingNode, verdict: 'failed' | 'refused' | 'deferred', reason: RegExp): Promise<void> {
  const { data } = await told(node.identity, verdict);
  expect(data.reason).toMatch(reason);
  expect(node.configured).toEqual([]);
  node.stop();
}

describe('a node that waits', () => {
  test('is enrolled step by step', async () => {
    const node = await waiting('n1.example.net');
    await told(node.identity, 'up');
    expect(node.actions).toEqual(['jwt', 'inventory', 'gencsr', 'configure', 'restart']);
    expect(stepsOf(node.identity)).toEqual(['seen', 'token', 'csr', 'signed', 'configured', 'up']);
    const [configured = {}] = node.configured;
    const { epoch, token, certificate, config, ...others } = configured;
    expect({ ...others, ca: '' }).toEqual({
      ca: '',
      key: '',
      ecdh_public: '',
      server_jwt: '',
      action_policies: {},
      opa_policies: {},
      ssldir: '/etc/choria/ssl',
    });
    expect([token, epoch]).toEqual(['s3cret', (await statusOf(provisioner)).epoch]);
    expect(new X509Certificate(String(certificate)).subject).toBe('CN=n1.example.net');
    expect(JSON.parse(String(config))).toMatchObject({ identity: 'n1.example.net', 'plugin.choria.server.provision': 'false' });
    expect(node.asked.at(-1)?.data).toMatchObject({ splay: 1 });
    expect(new Set(node.asked.map(({ sender, caller }) => `${sender} ${caller}`))).toEqual(
      new Set(['prov.test choria=prov.test']),
    );
  });

  test('is counted under the names of Choria', async () => {
    const text = await (await fetch(`http://127.0.0.1:${monitorPort}/metrics`)).text();
    expect(text).toMatch(/^choria_provisioner_provisioned\{site="mla"\} 1$/m);
    expect(text).toMatch(/^choria_provisioner_rpc_time_count\{site="mla",rpc="choria_provision#jwt"\} 1$/m);
    expect(text).toMatch(/^choria_provisioner_paused\{site="mla"\} 0$/m);
  });

  test('is found by a search, and by an event in the bare form', async () => {
    const silent = await new WaitingNode(nodes, { identity: 'n2.example.net', token: await network.token(), overlay }).start({
      announces: false,
    });
    const bare = await new WaitingNode(nodes, { identity: 'n3.example.net', token: await network.token(), overlay }).start({
      announces: false,
    });
    const about = { identity: bare.identity, component: 'provision_mode_server', now: new Date() };
    nodes.publish(lifecycleSubject('startup', 'provision_mode_server'), JSON.stringify(lifecycleEvent('startup', about).data));
    await told(bare.identity, 'up');
    expect(silent.asked).toEqual([]);
    // Whoever goes on looks for nodes first.
    operator.publish(questions.resume);
    await told(silent.identity, 'up');
  });

  test('is enrolled once, however often it announces itself; and again if it comes back', async () => {
    const node = new WaitingNode(nodes, {
      identity: 'n4.example.net',
      token: await network.token(),
      overlay,
      answer: async (_asked, usual) => {
        node.announce();
        return usual;
      },
    });
    await node.start();
    await told(node.identity, 'up');
    node.announce();
    expect(node.configured).toHaveLength(1);
    const since = performance.now();
    await node.start({ announces: false });
    await until('it is asked again', () => {
      node.announce();
      return node.configured.length === 2;
    });
    expect(performance.now() - since).toBeLessThan(10_000);
  });

  test('is asked again under the same id where it was silent, and under a new one where it failed', async () => {
    let count = 0;
    const node = await waiting('n5.example.net', {
      answer: ({ action }) => {
        if (action !== 'configure') return undefined;
        count += 1;
        return count === 1 ? { statuscode: 1, statusmsg: 'busy' } : undefined;
      },
    });
    await told(node.identity, 'up');
    const ids = node.asked.filter(({ action }) => action === 'configure').map(({ id }) => id);
    expect(new Set(ids).size).toBe(2);
    expect(node.actions.filter((action) => action === 'gencsr')).toHaveLength(1);
  });

  test('is told of where two machines have its name', async () => {
    const token = await network.token();
    const [one, two] = [waiting('twin.example.net', { token }), waiting('twin.example.net', { token })];
    await Promise.all([one, two]);
    await told('twin.example.net', 'up');
    expect((await statusOf(provisioner)).namesakes).toContain('twin.example.net');
    expect(provisioner.log.some(({ level, message }) => level === 'warn' && message.includes('twin.example.net'))).toBe(true);
  });
});

describe('what a node shows', () => {
  const claims = {
    cht: 's3cret',
    chs: false,
    chu: 'nats://127.0.0.1:1',
    chpd: true,
    extensions: null,
    purpose: 'choria_provisioning',
  };
  const hour = 3_600;
  const now = Math.floor(Date.now() / 1000);
  test.each([
    ['forged', /not signed by the issuer/, () => network.sign({ ...claims, iat: now, exp: now + hour }, newIssuer())],
    ['expired', /has expired/, () => network.token({}, -hour)],
    ['early', /not yet valid/, () => network.sign({ ...claims, nbf: now + hour, exp: now + 2 * hour })],
    ['purpose', /none for provisioning/, () => network.sign({ ...claims, purpose: 'choria_server', exp: now + hour })],
    ['noise', /can not be read/, () => Promise.resolve('e30.e30.e30')],
  ])('a token that is %s is refused before anything else is asked', async (word, reason, token) => {
    const node = await waiting(`${word}.tokens.net`, { token: await token() });
    await putOff(node, 'refused', reason);
    expect(new Set(node.actions)).toEqual(new Set(['jwt']));
  });

  const csrOf = (identity: string, keys = sharedKeys(), csr = makeRequest({ subject: { CN: identity }, ...keys })) => ({ csr });
  test.each([
    ['for another name', 'n1.requests.net', /is for 'n9.example.net'/, () => csrOf('n9.example.net')],
    [
      'for a weak key',
      'n2.requests.net',
      /1024 bits/,
      () => csrOf('n2.requests.net', generateKeyPairSync('rsa', { modulusLength: 1_024 })),
    ],
    ['for a key of another kind', 'n3.requests.net', /none of RSA/, () => csrOf('', undefined, ecRequest('n3.requests.net'))],
    ['with a name of callers', 'n4.requests.net', /bob.mcollective/, () => csrOf('', undefined, named('n4.requests.net'))],
    ['for a caller', 'bob.privileged.mcollective', /no node gets/, () => csrOf('bob.privileged.mcollective')],
    ['that is none', 'n5.requests.net', /PEM/, () => ({ csr: 'hello' })],
    [
      'signed by another',
      'n6.requests.net',
      /not signed with its own key/,
      () => csrOf('', undefined, stolen('n6.requests.net')),
    ],
  ])('a request %s is refused, and the hook is not asked', async (_what, identity, reason, data) => {
    const node = await waiting(identity, { answer: ({ action }) => (action === 'gencsr' ? { data: data() } : undefined) });
    await putOff(node, 'refused', reason);
    expect(stepsOf(identity)).not.toContain('csr');
  });

  const answers: readonly (readonly [string, string, Answer, RegExp])[] = [
    ['jwt', 'a wrong type', { data: { jwt: 7 } }, /does not fit: jwt/],
    ['jwt', 'no JSON', { raw: '}{' }, /can not be read/],
    ['jwt', 'a failure', { statuscode: 1, statusmsg: 'locked' }, /status 1: locked/],
    ['inventory', 'a wrong version', { data: { version: 1 } }, /does not fit: version/],
    ['inventory', 'a list', { data: [] }, /does not fit/],
    ['gencsr', 'nothing', { data: {} }, /does not fit/],
  ];
  test('an answer that makes no sense fails for that node alone', async () => {
    await Promise.all(
      answers.map(async ([action, what, answer, reason]) => {
        const identity = `${action}-${what.replaceAll(' ', '-')}.answers.net`.toLowerCase();
        const node = await waiting(identity, {
          answer: ({ action: asked }: Asked) => (asked === action ? answer : undefined),
        });
        await putOff(node, 'failed', reason);
      }),
    );
    expect((await statusOf(provisioner)).leads).toBe(true);
  });
});

describe('what a hook gives', () => {
  test.each([
    ['otherkey', /another key/],
    ['othername', /'n9.example.net'/],
    ['othersan', /not among them/],
    ['caller', /bob.mcollective/],
    ['expired', /expired on/],
    ['future', /not valid before/],
    ['serveronly', /clientAuth/],
    ['nosign', /digitalSignature/],
    ['authority', /authority/],
    ['otherca', /do not belong together/],
    ['noca', /no `ca`/],
    ['badpem', /can not be read/],
    ['noconfig', /no `configuration`/],
    ['newline', /line break/],
    ['othernode', /for n9.example.net and not/],
    ['policy', /no name of a policy/],
    ['throws', /disk of the authority is full/],
    ['types', /identity/],
  ])('%s does not reach the node', async (word, reason) => {
    await putOff(await waiting(`${word}.hooks.net`), 'failed', reason);
  });

  test('what it can not use is revoked', async () => {
    await until('one is', () =>
      provisioner.log.some(({ message }) => message.includes('otherkey.hooks.net did not get, is revoked')),
    );
  });

  test('defer puts the node off, and it is tried again', async () => {
    await putOff(await waiting('defer.hooks.net'), 'deferred', /not before Monday/);
    const node = await waiting('once.hooks.net');
    await told(node.identity, 'up');
    expect(stepsOf(node.identity)).toEqual(['seen', 'token', 'csr', 'deferred', 'token', 'csr', 'signed', 'configured', 'up']);
    const { putOff: list } = await statusOf(provisioner);
    expect(list.find(({ identity }) => identity === 'defer.hooks.net')).toMatchObject({
      verdict: 'deferred',
      reason: 'not before Monday',
    });
  });

  test('shutdown stops the node', async () => {
    const node = await waiting('stop.hooks.net');
    await until('it was told to', () => node.actions.includes('shutdown'));
    expect(node.actions).not.toContain('configure');
  });

  test('plugin.choria.server.provision is added where it is missing', async () => {
    const node = await waiting('silentback.hooks.net');
    await told(node.identity, 'up');
    expect(JSON.parse(String(node.configured[0]?.config))).toMatchObject({ 'plugin.choria.server.provision': 'false' });
  });

  test('a private key goes to the node so that only it can read it', async () => {
    const node = await waiting('key.hooks.net');
    await told(node.identity, 'up');
    const [{ key, ecdh_public: other, certificate } = {}] = node.configured;
    const own = createPrivateKey({
      key: Buffer.concat([Buffer.from('302e020100300506032b656e04220420', 'hex'), Buffer.alloc(32, 0x11)]),
      format: 'der',
      type: 'pkcs8',
    });
    const opened = openPrivateKey(String(key), sharedSecret(transitKeysOf(own), String(other)));
    expect(new X509Certificate(String(certificate)).checkPrivateKey(opened)).toBe(true);
  });
});

describe('other ways to run', () => {
  test('a node upgrades first if the hook says so', async () => {
    const own = await ProvisioningNetwork.start();
    try {
      const connection = await own.connection();
      await own.provisioner(
        {
          'plugin.provisioner.hook': 'crooked',
          'plugin.provisioner.features.upgrades': true,
          'plugin.provisioner.upgrades_repository': 'https://updates.example.net',
        },
        { bundles: [crookedHook(own.folder)] },
      );
      const node = await new WaitingNode(connection, {
        identity: 'upgrade.example.net',
        token: await own.token(),
        inventory: { upgradable: true },
      }).start();
      await until('it is upgraded', () => node.actions.includes('release_update'));
      const update = node.asked.find(({ action }) => action === 'release_update');
      expect(update?.data).toMatchObject({ version: '0.30.0', repository: 'https://updates.example.net' });
      expect(node.configured).toEqual([]);
    } finally {
      await own.stop();
    }
  });

  test('nodes with ed25519 keys get a token; the YAML file of Choria is read; without JetStream work is kept in a file', async () => {
    const own = await ProvisioningNetwork.start({ jetstream: false });
    try {
      const seed = join(own.folder, 'issuer.seed');
      writeFileSync(seed, Buffer.from(String(own.issuer.key.export({ format: 'jwk' }).d), 'base64url').toString('hex'), {
        mode: 0o600,
      });
      const yaml = join(own.folder, 'provisioner.yaml');
      writeFileSync(
        yaml,
        `features:\n  pki: false\n  ed25519: true\njwt_signing_key: ${seed}\nserver_jwt_validity: 2d\ninterval: 5m\n`,
      );
      const { 'plugin.provisioner.features.pki': _pki, ...config } = own.config();
      const host = await own.provisioner(
        {
          ...config,
          'plugin.provisioner.features.pki': false,
          'plugin.provisioner.config': yaml,
          'plugin.provisioner.hook': 'crooked',
        },
        { bundles: [crookedHook(own.folder)] },
      );
      await until('it leads', async () => (await statusOf(host)).leads);
      expect((await statusOf(host)).store).toBe('file');
      const node = await new WaitingNode(await own.connection(), {
        identity: 'claims.example.net',
        token: await own.token(),
        overlay: await own.connection('overlay'),
      }).start();
      await until('it is up', async () => (await statusOf(host)).counters.up === 1);
      expect(node.actions).toEqual(['jwt', 'gen25519', 'inventory', 'configure', 'restart']);
      const claims = await verifyServerToken(String(node.configured[0]?.server_jwt), readVerificationKey(own.verifyFile));
      expect(claims).toMatchObject({ identity: node.identity, ou: 'sales', collectives: ['mt'], permissions: { streams: true } });
      expect(Number(claims.exp) - Number(claims.iat)).toBe(2 * 86_400);
    } finally {
      await own.stop();
    }
  });

  test('as a process of its own, with the authority of this version', async () => {
    const own = await ProvisioningNetwork.start();
    try {
      const host = await own.provisioner({}, { inlineAs: 'persistent' });
      const node = new WaitingNode(await own.connection(), {
        identity: 'n1.example.net',
        token: await own.token(),
        overlay: await own.connection('overlay'),
      });
      await node.start();
      await until('it is up', async () => (await statusOf(host)).counters.up === 1);
      const [{ certificate } = {}] = node.configured;
      expect(new X509Certificate(String(certificate)).checkHost('n1.example.net')).toBe('n1.example.net');
    } finally {
      await own.stop();
    }
  });

  test.each([
    ['features.ed25519', true, /exclude each other/],
    ['interval', '10s', /interval has to be 1m or more/],
    ['lifecycle_component', 'a.b', /one word of a subject/],
    ['cert_deny_list', '(', /no regular expression/],
    ['config', '/nowhere/provisioner.yaml', /can not be used/],
  ])('%s is refused with its name when it is wrong', async (key, value, message) => {
    await expect(network.provisioner({ [`plugin.provisioner.${key}`]: value })).rejects.toThrow(message);
  });
});

function ecRequest(identity: string): string {
  return makeRequest({ subject: { CN: identity }, ...generateKeyPairSync('ec', { namedCurve: 'P-256' }) });
}

function named(identity: string): string {
  return makeRequest({ subject: { CN: identity }, names: [identity, 'bob.mcollective'], ...sharedKeys() });
}

/** With the key of somebody else in it. */
function stolen(identity: string): string {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2_048 });
  return makeRequest({ subject: { CN: identity }, publicKey: sharedKeys().publicKey, privateKey });
}
