// What a node starts with: its configuration, its token, both, or neither.

import { generateKeyPairSync } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { chooseSettings } from '../../core/host/chosen-settings.ts';
import { distributionRoot } from '../../core/host/distribution.ts';
import { loadSettings } from '../../core/host/settings.ts';
import { type Authority, issue, openAuthority } from '../../plugins/overlay/ca.ts';
import { writeRenewalMark } from '../../plugins/wire/provisioning/renewal-mark.ts';
import { publicHex, seedHex } from '../../plugins/wire/tokens/ed25519.ts';
import { signToken } from '../../plugins/wire/tokens/jwt.ts';
import type { ProvisioningClaims } from '../../plugins/wire/tokens/provisioning.ts';
import { runMuster } from '../support/command.ts';
import { NameServer } from '../support/dns.ts';
import { temporaryFolder, until } from '../support/folders.ts';
import { ProvisioningNetwork, tokenWith } from '../support/provisioning-network.ts';

const root = distributionRoot();
const urls = { chu: ' b1.test:4222, nats://b2.test:4222 ' };
const key = { algorithm: 'EdDSA', key: generateKeyPairSync('ed25519').privateKey } as const;

let folder: string;
let remove: () => void;
let file: string;
beforeEach(() => {
  ({ path: folder, remove } = temporaryFolder());
  file = join(folder, 'server.conf');
});
afterEach(() => remove());

const put = (name: string, text: string) => {
  writeFileSync(join(folder, name), text);
  return join(folder, name);
};
const token = async (claims: Partial<ProvisioningClaims> = urls) => put('provisioning.jwt', await tokenWith(claims));

async function start(): Promise<{ values: Record<string, unknown>; remarks: string[] }> {
  const { chosen, remarks } = await chooseSettings({ root, services: ['server'], file });
  const { config } = loadSettings({ root, file, project: false, optional: false, chosen });
  return { values: Object.fromEntries(config.values), remarks: remarks.map(({ level, message }) => `${level}: ${message}`) };
}
const active = async () => (await start()).values['plugin.muster.provisioning.active'];

describe('a node without a configuration', () => {
  test('takes every claim of its token', async () => {
    const path = await token({
      ...urls,
      chusr: 'node',
      chpwd: 'n0de',
      chf: '/etc/facts.json:/etc/more.yaml',
      chrd: '/etc/registration.json',
      update: true,
    });
    const { values, remarks } = await start();
    expect(values).toMatchObject({
      identity: expect.any(String),
      collectives: ['provisioning'],
      main_collective: 'provisioning',
      rpcauthorization: false,
      'plugin.choria.middleware_hosts': ['nats://b1.test:4222', 'nats://b2.test:4222'],
      'plugin.nats.user': 'node',
      'plugin.nats.pass': 'n0de',
      'plugin.yaml': ['/etc/facts.json', '/etc/more.yaml'],
      registration: ['file_content'],
      registerinterval: 120,
      'plugin.choria.registration.file_content.data': '/etc/registration.json',
      'plugin.choria.registration.file_content.target': 'provisioning.registration.data',
      'plugin.choria.server.provision.allow_update': true,
      'plugin.choria.ssldir': join(folder, 'ssl'),
      'plugin.muster.provisioning.token': path,
      'plugin.muster.provisioning.active': true,
      'plugin.muster.security': 'provisioning',
    });
    expect(remarks.join('\n')).not.toContain('n0de');
  });

  test('looks in DNS if the token names a domain, and asks a plugin if it names one', async () => {
    await token({ chsrv: 'example.net', extensions: { muster: { target: 'cloud' } } });
    expect((await start()).values).toMatchObject({
      'plugin.muster.provisioning.srv': 'example.net',
      'plugin.muster.provisioning.target': 'cloud',
    });
  });

  test('warns of what a token says that is not safe, or that it can not see to', async () => {
    await token({ ...urls, chs: true, extensions: { muster: { plaintext: true } } });
    const { values, remarks } = await start();
    expect(values['plugin.muster.provisioning.plaintext']).toBe(true);
    expect(remarks.filter((remark) => remark.startsWith('warn'))).toEqual([
      expect.stringContaining('(chs)'),
      expect.stringContaining('without TLS'),
    ]);
  });

  test.each([
    [
      'no token either',
      undefined,
      /there is no configuration file .*server\.conf, and there is no provisioning token .*provisioning\.jwt/,
    ],
    ['a token that is none', 'x.y', /can not be used: this is no JSON Web Token/],
    ['a token with both targets', { ...urls, chsrv: 'example.net' }, /chu.* and .*chsrv/],
    ['a token with neither', { chu: '' }, /neither/],
    ['a token without a secret', { ...urls, cht: '' }, /claims that can not be used: cht/],
    ['a token that does not turn it on', { ...urls, chpd: false }, /chpd.*--default/],
  ])('and with %s does not start, and says why', async (_what, claims, message) => {
    if (typeof claims === 'string') put('provisioning.jwt', claims);
    else if (claims !== undefined) {
      const all = { cht: 's3cret', chpd: true, purpose: 'choria_provisioning', ...claims };
      put('provisioning.jwt', await signToken(all, key));
    }
    await expect(start()).rejects.toThrow(message);
  });

  test('speaks protocol 2 while it is provisioned if its token says so, and registers nothing meanwhile', async () => {
    await token({ ...urls, v2: true, chrd: '/etc/hosts' });
    const { values } = await start();
    expect(values['plugin.muster.provisioning.v2']).toBe(true);
    expect(values.registration ?? []).toEqual([]);
  });

  test('with a token that has expired is for its broker to refuse', async () => {
    put('provisioning.jwt', await tokenWith(urls, -60));
    expect(await active()).toBe(true);
  });
});

describe('a node with a configuration', () => {
  test.each([
    ['plugin.choria.server.provision = false', true, false],
    ['plugin.choria.server.provision = no', true, false],
    ['plugin.choria.server.provision = true', true, true],
    ['plugin.choria.server.provision = true', false, true],
    ['ttl = 30', true, true],
    ['ttl = 30', false, false],
    ['plugin.muster.provisioning.active = true', false, false],
  ])('%s, and a token with chpd %s: %s', async (line, chpd, expected) => {
    put('server.conf', `identity = kept.test\n${line}\nttl = 30\n`);
    await token({ ...urls, chpd });
    const { values } = await start();
    expect(values['plugin.muster.provisioning.active']).toBe(expected);
    expect([values.identity, values.ttl, values['plugin.muster.provisioning.available']]).toEqual([
      'kept.test',
      expected ? 60 : 30,
      true,
    ]);
  });

  test('serves with it if its token can not be used, and says so', async () => {
    put('server.conf', 'plugin.choria.server.provision = false\n');
    put('provisioning.jwt', 'x');
    const { values, remarks } = await start();
    expect([values['plugin.muster.provisioning.active'], values['plugin.muster.provisioning.available']]).toEqual([false, false]);
    expect(remarks).toEqual([expect.stringMatching(/^error: the provisioning token .* is ignored/)]);
  });

  test('that asks for provisioning without a token does not start', async () => {
    put('server.conf', 'plugin.choria.server.provision = true\n');
    await expect(start()).rejects.toThrow(/asks for provisioning/);
  });

  test('leaves out the same keys if it is to be provisioned anew, and keeps what belongs to the machine', async () => {
    put(
      'server.conf',
      'plugin.choria.server.provision = false\nidentity = kept.test\nplugin.choria.stats_port = 0\nttl = 30\nplugin.muster.provisioning.plaintext = true\n',
    );
    await token();
    writeRenewalMark(file, { version: 1, state: 'wanted', reason: 'the test asked for it', since: Date.now() });
    const { values, remarks } = await start();
    expect(values).toMatchObject({ identity: 'kept.test', ttl: 60, 'plugin.muster.provisioning.renewing': true });
    expect(values['plugin.muster.provisioning.plaintext']).toBe(false);
    expect(remarks[0]).toContain('the test asked for it');
    writeRenewalMark(file, { version: 1, state: 'waiting', reason: 'x', since: Date.now() });
    expect(await active()).toBe(false);
  });
});

describe('credentials that are of no use', () => {
  let authority: Authority;
  const shared = temporaryFolder();
  beforeAll(async () => {
    authority = await openAuthority(join(shared.path, 'ca'), 'Test CA');
  });
  afterAll(() => shared.remove());

  async function x509(days: number, other = false): Promise<void> {
    const { certificate, key: pem } = await issue(authority, { commonName: 'n.test', days });
    put('n.pem', certificate);
    put('n.key', other ? (await issue(authority, { commonName: 'n.test' })).key : pem);
    put('ca.pem', authority.certificate);
    const lines = ['certificate = n.pem', 'key = n.key', 'ca = ca.pem'].map(
      (line) => `plugin.security.file.${line.replace('= ', `= ${folder}/`)}`,
    );
    put('server.conf', ['plugin.security.provider = file', 'plugin.choria.server.provision = false', ...lines, ''].join('\n'));
  }

  test('a certificate that has expired, or has another key, sends the node into provisioning', async () => {
    await token();
    await x509(30);
    expect(await active()).toBe(false);
    await x509(-1);
    expect((await start()).remarks[0]).toMatch(/n\.pem expired at/);
    await x509(30, true);
    const { values, remarks } = await start();
    expect(remarks[0]).toMatch(/does not belong to/);
    expect(values['plugin.muster.provisioning.active']).toBe(true);
    expect(values['plugin.muster.provisioning.renewing']).toBe(false);
  });

  test('without a token, or with one that does not turn it on, it does not start', async () => {
    await x509(-1);
    await expect(start()).rejects.toThrow(
      /n\.pem expired at .*; the node can not serve with it, and there is no provisioning token/,
    );
    await token({ ...urls, chpd: false });
    await expect(start()).rejects.toThrow(/chpd/);
  });

  test.each([
    ['is missing', undefined, {}],
    ['belongs to another seed', 'other', {}],
    ['has expired', 'own', { exp: 1 }],
    ['has an issuer that has expired', 'own', { exp: 4e9, issexp: 1 }],
    ['is good', 'own', { exp: 4e9 }],
  ])('of protocol 2, whose token %s', async (what, of, claims) => {
    await token();
    const [own, other] = [0, 1].map(() => generateKeyPairSync('ed25519').privateKey);
    if (!own || !other) throw new Error('two keys were made');
    const [seedFile, tokenFile] = [put('server.seed', seedHex(own)), join(folder, 'server.jwt')];
    if (of) writeFileSync(tokenFile, await signToken({ public_key: publicHex(of === 'own' ? own : other), ...claims }, key));
    put(
      'server.conf',
      `plugin.security.server_anon_tls = 1\nplugin.choria.server.provision = false\nplugin.choria.security.server.token_file = ${tokenFile}\nplugin.choria.security.server.seed_file = ${seedFile}\n`,
    );
    expect(await active()).toBe(what !== 'is good');
    expect(readFileSync(seedFile, 'utf8')).toBe(seedHex(own));
  });
});

test('muster run says in one line why it does not start', async () => {
  mkdirSync(join(folder, 'state'));
  const { code, err } = await runMuster(['run', 'server', '--config', file, '--state', join(folder, 'state')]);
  expect([code, err.trimEnd().split('\n')]).toEqual([1, [expect.stringMatching(/^muster: there is no configuration file/)]]);
});

test('a node waits for its brokers, and a broker without TLS never gets its token', async () => {
  await using network = await ProvisioningNetwork.start({ chu: '127.0.0.1:1' });
  const late = network.node({ token: await tokenWith({ chu: `127.0.0.1:${network.port}` }) });
  await network.stopBroker();
  await network.startBroker({ tls: false });
  late.start();
  await late.logs(/cannot connect to the broker: .*tls/);
  expect(network.events).toEqual([]);
});

test('a node finds its brokers in DNS as soon as they are there', async () => {
  await using network = await ProvisioningNetwork.start();
  const names = await NameServer.start();
  const token = await tokenWith({ chsrv: 'example.test' });
  const node = network.node({ token, env: names.environment });
  try {
    // The broker knows the token that it was started with.
    writeFileSync(join(node.folder, 'provisioning.jwt'), token);
    node.start();
    await until('the node asks', () => names.asked.includes('_choria-provisioner._tcp.example.test'));
    await node.logs(/cannot connect to the broker/);
    names.records.set('_choria-provisioner._tcp.example.test', [{ target: '127.0.0.1', port: network.port }]);
    await node.logs(/uthorization/);
  } finally {
    await node.kill();
    await names.stop();
  }
});
