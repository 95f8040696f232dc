// The agent choria_provision, asked as provisioners ask and as they should not.

import { createPrivateKey, createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readRequest } from '../../plugins/wire/pki/request.ts';
import { newTransitKeys, sealPrivateKey, sharedSecret } from '../../plugins/wire/provisioning/key-transit.ts';
import { verifiesHex } from '../../plugins/wire/tokens/ed25519.ts';
import { temporaryFolder, until, writeBundle } from '../support/folders.ts';
import { rsaKeys, signFor } from '../support/provisioning.ts';
import { type HostedNode, ProvisioningNetwork, secret } from '../support/provisioning-network.ts';

let network: ProvisioningNetwork;
beforeAll(async () => {
  network = await ProvisioningNetwork.start();
});
afterAll(() => network?.stop());

/** As the real provisioner sends it: all keys, those that are not used empty. */
const unused = {
  certificate: '',
  ca: '',
  ssldir: '',
  key: '',
  ecdh_public: '',
  action_policies: {},
  opa_policies: {},
  server_jwt: '',
};
const configure = (name: string, data: object, settings: object = { 'plugin.choria.server.provision': 'false' }) =>
  network.ask(name, 'configure', { token: secret, config: JSON.stringify(settings), ...unused, ...data });
const modeOf = (...path: string[]) => (statSync(join(...path)).mode & 0o777).toString(8);

async function requestOf(name: string, data: object = {}): Promise<{ csr: string; ssldir: string }> {
  const { statuscode, data: answer } = await network.ask(name, 'gencsr', { token: secret, cn: name, ...data });
  expect(statuscode).toBe(0);
  return answer as { csr: string; ssldir: string };
}

describe.each(['inline', 'persistent'] as const)('%s', (runner) => {
  const name = `${runner}.agent.test`;
  let node: HostedNode;
  beforeAll(async () => {
    node = await network.hosted(name, runner === 'persistent' ? { inlineAs: 'persistent' } : {});
  });

  test.each(['jwt', 'gen25519', 'gencsr', 'configure', 'release_update', 'restart', 'shutdown'])(
    '%s refuses another token, and none',
    async (action) => {
      for (const data of [{ token: 'wrong' }, {}, { token: '' }, { token: secret.slice(1) }])
        expect(await network.ask(name, action, data)).toMatchObject({
          statuscode: 1,
          statusmsg: expect.stringContaining('token'),
          data: {},
        });
      expect(node.stops).toEqual([]);
    },
  );

  test('types are insisted on, and lengths and empty texts are not', async () => {
    expect(await network.ask(name, 'jwt', { token: 7 })).toMatchObject({ statuscode: 4 });
    expect(await network.ask(name, 'configure', { token: secret, config: {} })).toMatchObject({ statuscode: 4 });
    expect(await network.ask(name, 'configure', { token: secret, config: '{}', action_policies: { a: 1 } })).toMatchObject({
      statuscode: 4,
    });
    expect(await network.ask(name, 'restart', { token: secret, splay: 1.5 })).toMatchObject({ statuscode: 4 });
    expect(await configure(name, {}, { long: 'x'.repeat(10_000), short: '' })).toMatchObject({ statuscode: 0 });
  });

  test('an ed25519 key signs the nonce, and its seed stays', async () => {
    const { data } = await network.ask(name, 'gen25519', { token: secret, nonce: '0f'.repeat(16) });
    const { public_key, directory, signature } = data as Record<string, string>;
    expect(directory).toBe(node.folder);
    expect(verifiesHex('0f'.repeat(16), signature ?? '', public_key ?? '')).toBe(true);
    expect(readFileSync(join(node.folder, 'server.seed'), 'utf8')).toMatch(/^[0-9a-f]{64}$/);
    expect(modeOf(node.folder, 'server.seed')).toBe('600');
  });

  test('each gencsr makes another key, and takes keys of any case', async () => {
    const one = await requestOf(name);
    const other = await requestOf(name, { ou: 'ops', O: 'Example', l: 'Valletta', ST: 'left out' });
    expect(readRequest(other.csr).subject).toEqual({ CN: name, OU: 'ops', O: 'Example', L: 'Valletta' });
    expect(readRequest(one.csr).publicKey.equals(readRequest(other.csr).publicKey)).toBe(false);
    const key = createPrivateKey(readFileSync(join(other.ssldir, 'private.pem')));
    expect(createPublicKey(key).equals(readRequest(other.csr).publicKey)).toBe(true);
    expect(await network.ask(name, 'gencsr', { token: secret, cn: `${'a'.repeat(79)}!` })).toMatchObject({ statuscode: 4 });
  });

  test.each([
    ['no JSON', { config: 'x' }, /no JSON/],
    ['a number', { config: '{"a":1}' }, /strings/],
    ['nothing', { config: '' }, /no configuration/],
    ['nothing in it', { config: '{}' }, /empty/],
    ['a value of two lines', { config: JSON.stringify({ a: 'b\nplugin.choria.server.provision = true' }) }, /more than one line/],
    ['a key of two lines', { config: JSON.stringify({ 'a\nb': 'c' }) }, /no key/],
    [
      'a value that no node could start with',
      { config: JSON.stringify({ loglevel: 'loud' }) },
      /server\.conf:2: loglevel must be one of/,
    ],
    ['a policy elsewhere', { action_policies: { '../x.policy': 'policy default deny' } }, /no name of a file/],
    ['a policy of another kind', { action_policies: { 'x.rego': 'y' } }, /\.policy/],
    ['a key without ECDH', { key: 'x' }, /ecdh_public/],
  ])('a configuration with %s changes nothing', async (_what, data, message) => {
    await configure(name, {}, { before: 'it' });
    const before = readFileSync(node.configFile, 'utf8');
    const files = readdirSync(node.folder).sort();
    const { statuscode, statusmsg } = await configure(name, data);
    expect([statuscode, statusmsg]).toEqual([1, expect.stringMatching(message)]);
    expect(readFileSync(node.configFile, 'utf8')).toBe(before);
    expect(readdirSync(node.folder).sort()).toEqual(files);
  });

  test('a certificate for another key, an expired one, and one that is none are refused', async () => {
    const { csr, ssldir } = await requestOf(name);
    const good = signFor(network.authority, csr, name);
    const foreign = signFor(network.authority, csr, name, { publicKey: rsaKeys().publicKey });
    const old = signFor(network.authority, csr, name, { days: -1 });
    for (const [data, message] of [
      [{ ...foreign, ssldir }, /does not belong/],
      [{ ...old, ssldir }, /expired/],
      [{ ...good, certificate: 'x', ssldir }, /can not be read/],
      [{ ...good, ca: 'x', ssldir }, /authorities/],
      [{ ...good, ca: good.ca.replace('MII', 'XXX'), ssldir }, /authorities/],
      [{ ...good, ssldir: 'relative' }, /absolute/],
    ] as const)
      expect(await configure(name, data)).toMatchObject({ statuscode: 1, statusmsg: expect.stringMatching(message) });
    expect(existsSync(join(ssldir, 'certificate.pem'))).toBe(false);
    expect(await configure(name, { ...good, ssldir })).toMatchObject({ statuscode: 0 });
    expect(readFileSync(join(ssldir, 'certificate.pem'), 'utf8')).toBe(good.certificate);
  });

  test('while there is a certificate, a new key waits until its own is there', async () => {
    const ssldir = join(node.folder, 'ssl');
    const before = readFileSync(join(ssldir, 'private.pem'), 'utf8');
    const { csr } = await requestOf(name);
    expect(readFileSync(join(ssldir, 'private.pem'), 'utf8')).toBe(before);
    const { certificate, ca } = signFor(network.authority, csr, name);
    expect(await configure(name, { certificate, ca, ssldir })).toMatchObject({ statuscode: 0 });
    const key = createPrivateKey(readFileSync(join(ssldir, 'private.pem')));
    expect(new X509Certificate(readFileSync(join(ssldir, 'certificate.pem'))).checkPrivateKey(key)).toBe(true);
    expect(readdirSync(ssldir).sort()).toEqual(['ca.pem', 'certificate.pem', 'csr.pem', 'private.pem']);
  });

  test('policies replace what is there, those of both kinds', async () => {
    const policies = join(node.folder, 'policies');
    await configure(name, { action_policies: { 'a.policy': 'x' }, opa_policies: { 'a.rego': 'y' } });
    await configure(name, { opa_policies: { 'b.rego': 'z', 'empty.rego': '' } });
    expect(readdirSync(policies, { recursive: true }).sort()).toEqual(['a.policy', 'rego', 'rego/b.rego']);
    expect([modeOf(policies), modeOf(policies, 'a.policy'), modeOf(policies, 'rego/b.rego')]).toEqual(['700', '400', '400']);
    await configure(name, { action_policies: { 'c.policy': 'x' } });
    expect(readdirSync(policies, { recursive: true })).toEqual(['c.policy']);
  });

  test('a private key in transit is read by this node alone, and an open one is refused', async () => {
    const { data } = await network.ask(name, 'jwt', { token: secret });
    const { ecdh_public: nodes } = data as { ecdh_public: string };
    const { privateKey, publicKey } = rsaKeys();
    const pem = privateKey.export({ type: 'pkcs1', format: 'pem' }).toString();
    const own = newTransitKeys();
    const [ssldir, csr] = [join(node.folder, 'ssl'), join(node.folder, 'ssl/csr.pem')];
    const signed = signFor(network.authority, readFileSync(csr, 'utf8'), name, { publicKey });
    const sealed = sealPrivateKey(pem, sharedSecret(own, nodes));
    const delivery = { ...signed, ssldir, ecdh_public: own.publicHex };
    expect(await configure(name, { ...delivery, key: pem })).toMatchObject({ statuscode: 1, statusmsg: /unencrypted/ as never });
    const other = sealPrivateKey(pem, sharedSecret(own, newTransitKeys().publicHex));
    expect(await configure(name, { ...delivery, key: other })).toMatchObject({ statuscode: 1 });
    expect(await configure(name, { ...delivery, key: sealed })).toMatchObject({ statuscode: 0 });
    expect(readFileSync(join(ssldir, 'private.pem'), 'utf8')).toBe(pem);
    expect([modeOf(ssldir, 'private.pem'), existsSync(csr)]).toEqual(['600', false]);
  });

  test('restart waits for a configuration that does not ask for provisioning, and a node ends once', async () => {
    await configure(name, {}, { 'plugin.choria.server.provision': 'true' });
    expect(await network.ask(name, 'restart', { token: secret })).toMatchObject({ statuscode: 1 });
    await configure(name, {});
    const { data } = await network.ask(name, 'restart', { token: secret, splay: -5 });
    expect(data).toEqual({ message: 'Restarting in 2s' });
    expect(await network.ask(name, 'restart', { token: secret, splay: 30 })).toMatchObject({ statuscode: 0, data });
    expect(await network.ask(name, 'shutdown', { token: secret })).toMatchObject({ statuscode: 0, data });
    expect(await network.ask(name, 'gencsr', { token: secret })).toMatchObject({ statuscode: 1 });
    await until('the node asks for its restart', () => node.stops.length > 0);
    expect(node.stops).toEqual([expect.objectContaining({ restart: true, exitCode: 0 })]);
  });
});

describe('several provisioners', () => {
  const name = 'lock.agent.test';
  beforeAll(async () => {
    await network.hosted(name);
  });
  const [one, other] = [{ sender: 'p1.test' }, { sender: 'p2.test' }];
  const ask = (asked: object, data: object = {}) =>
    network.ask(name, 'jwt', { token: secret, ...data }, asked).then(({ statuscode }) => statuscode);

  test('take turns, and one that was replaced is refused for good', async () => {
    expect(await ask(one)).toBe(0);
    expect(await ask(other)).toBe(1);
    expect(await network.ask(name, 'restart', { token: 'wrong' }, other)).toMatchObject({
      statusmsg: expect.stringContaining('token'),
    });
    // An epoch does not take over from one that tells none.
    const epoch = Date.now();
    expect(await ask(other, { epoch })).toBe(1);
    expect(await ask(one, { epoch })).toBe(0);
    expect(await ask(other, { epoch: epoch + 1, token: 'wrong' })).toBe(1);
    expect(await ask(one, { epoch })).toBe(0);
    expect(await ask(other, { epoch: epoch + 1 })).toBe(0);
    expect(await ask(one, { epoch })).toBe(1);
    expect(await ask(one, { epoch: epoch + 86_400_000 })).toBe(1);
    expect(await ask(other, { epoch: epoch + 1 })).toBe(0);
    expect(await network.ask(name, 'jwt', { token: secret, epoch: 'x' }, other)).toMatchObject({ statuscode: 4 });
  });
});

test('an emulated node takes its prepared key', async () => {
  const prepared = join(network.folder, 'prepared.pem');
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  writeFileSync(prepared, privateKey.export({ type: 'pkcs8', format: 'pem' }));
  const node = await network.hosted('prepared.test', {
    config: { 'plugin.muster.provisioning.prepared_key': prepared, 'plugin.muster.provisioning.restart_delay': 10 },
  });
  const target = join(network.folder, 'linked.conf');
  symlinkSync(target, node.configFile);
  const { csr, ssldir } = await requestOf('prepared.test');
  expect(readRequest(csr).publicKey.equals(publicKey)).toBe(true);
  expect(await configure('prepared.test', { ...signFor(network.authority, csr, 'prepared.test'), ssldir })).toMatchObject({
    statuscode: 0,
  });
  expect(existsSync(target) || readFileSync(node.configFile, 'utf8') !== '').toBe(true);
  const { data } = await network.ask('prepared.test', 'restart', { token: secret, splay: 1 });
  expect(data).toEqual({ message: 'Restarting in 0.01s' });
  await until('it restarts', () => node.stops.length > 0);
});

test('a plugin may find the brokers, asked until it does', async () => {
  const { path, remove } = temporaryFolder();
  const [asked, found] = [join(path, 'asked'), join(path, 'found')];
  const script = `#!/bin/sh\ntest -f '${found}' || { echo 'not yet' >&2; touch '${asked}'; exit 1; }\nprintf '{"servers":["127.0.0.1:${network.port}"]}'\n`;
  writeBundle(
    path,
    'cloud',
    'bundle: cloud\nversion: 1.0.0\nplugins:\n  - { kind: provisioning-target, name: cloud, runner: oneshot, command: [./find.sh] }\n',
    { 'find.sh': script },
  );
  const starting = network.hosted('target.test', {
    bundles: [path],
    config: { 'plugin.choria.middleware_hosts': undefined, 'plugin.muster.provisioning.target': 'cloud' },
  });
  await until('the plugin is asked', () => existsSync(asked));
  writeFileSync(found, '');
  expect((await starting).host.log.map(({ message }) => message).join('\n')).toMatch(/cloud: .*not yet/);
  remove();
});
