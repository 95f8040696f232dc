// The certificate authority that comes with Muster, looked at with openssl and with TLS.

import { type ChildProcess, spawn } from 'node:child_process';
import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { connect, createServer } from 'node:tls';
import { connect as connectNats } from 'nats';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { findNatsServer } from '../../plugins/broker/program.ts';
import { makeCertificate, randomSerial } from '../../plugins/wire/pki/certificate.ts';
import type { Subject } from '../../plugins/wire/pki/names.ts';
import { freePort, temporaryFolder, until } from '../support/folders.ts';
import { startHost, type TestHost, type TestHostOptions } from '../support/hosts.ts';
import { asking, ecKeys, ed25519Keys, openssl, provision, rsaKeys, Served, sign, verdictOf } from '../support/provisioning.ts';

const keys = rsaKeys();
const hook = 'built-in-ca';
const { path: work, remove } = temporaryFolder();
const closers: (() => unknown)[] = [];

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
afterAll(remove);

function folderOf(): string {
  const { path, remove: removeFolder } = temporaryFolder();
  closers.push(removeFolder);
  return path;
}

async function hostWith(folder: string, config: Record<string, unknown> = {}, options: TestHostOptions = {}): Promise<TestHost> {
  const host = await startHost({ distribution: true, config: { 'plugin.muster.ca.folder': folder, ...config }, ...options });
  closers.push(() => host.stop());
  return host;
}

interface IssuedLine {
  readonly event: string;
  readonly serial: string;
  readonly identity: string;
}

const issuedIn = (folder: string): IssuedLine[] =>
  readFileSync(join(folder, 'issued.jsonl'), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as IssuedLine);

describe.each(['inline', 'persistent'] as const)('built-in-ca, %s', (runner) => {
  const { path: folder, remove: removeFolder } = temporaryFolder();
  let host: TestHost;
  beforeAll(async () => {
    host = await startHost({
      distribution: true,
      config: { 'plugin.muster.ca.folder': folder },
      ...(runner === 'persistent' && { inlineAs: 'persistent' }),
    });
  });
  afterAll(async () => {
    await host.stop();
    removeFolder();
  });

  test.each([
    ['RSA', rsaKeys, 'rsaEncryption', 'Digital Signature, Key Encipherment'],
    ['ECDSA', ecKeys, 'id-ecPublicKey', 'Digital Signature'],
    ['ed25519', ed25519Keys, 'ED25519', 'Digital Signature'],
  ])('signs a key of the type %s so that openssl verifies it for both ends of TLS', async (_name, make, algorithm, usage) => {
    const signed = await sign(host, hook, asking({ identity: 'n1.example.net', keys: make() }));
    for (const purpose of ['sslclient', 'sslserver'])
      expect(verdictOf(work, signed, '-x509_strict', '-purpose', purpose, '-verify_hostname', 'n1.example.net')).toBe('OK');
    const text = openssl(['x509', '-noout', '-text'], signed.certificate);
    expect(text).toContain(`Public Key Algorithm: ${algorithm}`);
    expect(text).toMatch(new RegExp(`X509v3 Key Usage: critical\\s+${usage}\\n`));
    expect(text).toMatch(/Extended Key Usage: \s*TLS Web Client Authentication, TLS Web Server Authentication/);
    expect(text).toMatch(/Basic Constraints: critical\s+CA:FALSE/);
    expect(text).toMatch(/Subject Alternative Name: \s*DNS:n1\.example\.net\n/);
  });

  test('takes the subject and names below its own from the request', async () => {
    const subject: Subject = { C: 'MT', ST: 'Gozo', L: 'Victoria', O: 'Ex & "Co", Ltd', OU: 'Flotte é' };
    const names = ['n2.example.net', 'www.n2.example.net'];
    const { certificate } = await sign(host, hook, asking({ identity: 'n2.example.net', keys, subject, names }));
    const shown = openssl(['x509', '-noout', '-subject', '-nameopt', 'sep_multiline,utf8,sname'], certificate);
    expect(shown.split('\n').map((line) => line.trim())).toEqual([
      'subject=',
      'C=MT',
      'ST=Gozo',
      'L=Victoria',
      'O=Ex & "Co", Ltd',
      'OU=Flotte é',
      'CN=n2.example.net',
      '',
    ]);
    expect(new X509Certificate(certificate).subjectAltName).toBe('DNS:n2.example.net, DNS:www.n2.example.net');
  });

  test('withdraws a certificate, and openssl then refuses it by the published list', async () => {
    const [kept, lost] = await Promise.all(
      ['n3.example.net', 'n4.example.net'].map((identity) => sign(host, hook, asking({ identity, keys }))),
    );
    if (!kept || !lost) throw new Error('both are signed');
    const serial = new X509Certificate(lost.certificate).serialNumber;
    const answer = await host.host.call('provisioning-hook', hook, 'hook/revoke', { serial, reason: 'keyCompromise' });
    const list = join(folder, 'crl.pem');
    expect(answer).toEqual({ revoked: true, crl: list });
    const flags = ['-CRLfile', list, '-crl_check_all'];
    expect(verdictOf(work, kept, ...flags)).toBe('OK');
    expect(verdictOf(work, lost, ...flags)).toContain('certificate revoked');
    const shown = openssl(['crl', '-noout', '-text', '-in', list]);
    expect(shown).toMatch(new RegExp(`Serial Number: ${serial}`));
    expect(shown).toContain('Key Compromise');
  });
});

test('both ends of a real TLS connection accept what was issued, and see the name', async () => {
  const folder = folderOf();
  const host = await hostWith(folder);
  const [server, client] = await Promise.all(
    ['broker.example.net', 'n1.example.net'].map((identity) => sign(host, hook, asking({ identity, keys }))),
  );
  if (!server || !client) throw new Error('both are signed');
  const key = keys.privateKey.export({ type: 'pkcs8', format: 'pem' });
  // Node takes one list for each text.
  const crl = readFileSync(join(folder, 'crl.pem'), 'utf8').split(/(?<=-----END X509 CRL-----\n)/);
  const listener = createServer({
    cert: server.certificate,
    key,
    ca: server.ca,
    crl,
    requestCert: true,
    rejectUnauthorized: true,
  });
  closers.push(() => listener.close());
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const { port } = listener.address() as AddressInfo;
  const socket = connect({
    port,
    host: '127.0.0.1',
    cert: client.certificate,
    key,
    ca: client.ca,
    crl,
    servername: 'broker.example.net',
  });
  closers.push(() => socket.destroy());
  const [accepted] = (await once(listener, 'secureConnection')) as [typeof socket];
  expect(accepted.getPeerCertificate().subject.CN).toBe('n1.example.net');
  expect(accepted.authorized).toBe(true);
});

test('a real nats-server takes it for itself, and takes nodes that have one, and no others', async () => {
  const folder = folderOf();
  const [host, stranger] = [await hostWith(join(folder, 'ca')), await hostWith(join(folder, 'other'))];
  const broker = await sign(host, hook, asking({ identity: 'localhost', keys }));
  const key = keys.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  const files = { cert: join(folder, 'b.pem'), key: join(folder, 'b.key'), ca: join(folder, 'ca.pem') };
  for (const [file, text] of [
    [files.cert, broker.certificate],
    [files.key, key],
    [files.ca, broker.ca],
  ] as const)
    writeFileSync(file, text, { mode: 0o600 });
  const port = await freePort();
  const lines = [
    `listen: "127.0.0.1:${port}"`,
    `tls { cert_file: "${files.cert}", key_file: "${files.key}", ca_file: "${files.ca}", verify: true }`,
  ];
  writeFileSync(join(folder, 'nats.conf'), lines.join('\n'));
  const server = new Served(findNatsServer(process.env, distributionRoot()), ['-c', join(folder, 'nats.conf')], folder);
  closers.push(() => server.stop());
  await until('nats-server listens', () => server.output.join('').includes('Server is ready'));
  const attempt = async (from: TestHost) => {
    const { certificate } = await sign(from, hook, asking({ identity: 'n1.example.net', keys }));
    const tls = { cert: certificate, key, ca: broker.ca };
    return connectNats({ servers: `localhost:${port}`, tls, reconnect: false, timeout: 20_000 });
  };
  const connection = await attempt(host);
  expect(connection.info?.tls_verify).toBe(true);
  await connection.flush();
  await connection.close();
  await expect(attempt(stranger)).rejects.toThrow();
  await until('nats-server says why', () => server.output.join('').includes('certificate signed by unknown authority'));
});

test('the authority is a root with one intermediate, whose keys nobody else can read', async () => {
  const folder = folderOf();
  await sign(await hostWith(folder, { 'plugin.muster.ca.name': 'Acme' }), hook, asking({ identity: 'n1.example.net', keys }));
  for (const [name, path, subject] of [
    ['root', '1', 'Acme Root CA'],
    ['intermediate', '0', 'Acme CA'],
  ]) {
    const text = openssl(['x509', '-noout', '-text', '-in', join(folder, `${name}.pem`)]);
    expect(text).toMatch(new RegExp(`Basic Constraints: critical\\s+CA:TRUE, pathlen:${path}\\n`));
    expect(text).toMatch(/X509v3 Key Usage: critical\s+Certificate Sign, CRL Sign\n/);
    expect(text).toContain(`Subject: CN = ${subject}`);
    expect(statSync(join(folder, `${name}.key`)).mode & 0o777).toBe(0o600);
  }
  expect(statSync(join(folder, 'issued.jsonl')).mode & 0o777).toBe(0o600);
});

test('an authority whose keys others can read is not used', async () => {
  const folder = folderOf();
  const request = asking({ identity: 'n1.example.net', keys });
  await sign(await hostWith(folder), hook, request);
  chmodSync(join(folder, 'root.key'), 0o644);
  await expect(provision(await hostWith(folder), hook, request)).rejects.toThrow(
    /root\.key can be read by others; try: chmod 600/,
  );
});

test('a name that has a certificate gets another one for another key', async () => {
  const folder = folderOf();
  const host = await hostWith(folder);
  const request = asking({ identity: 'n1.example.net', keys });
  const replies = [
    await sign(host, hook, request),
    await sign(host, hook, asking({ identity: 'n1.example.net', keys: ecKeys() })),
  ];
  const serials = replies.map(({ certificate }) => new X509Certificate(certificate).serialNumber);
  expect(new Set(serials).size).toBe(2);
  for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9A-F]{39}$/);
  expect(issuedIn(folder).map(({ serial }) => serial)).toEqual(serials);
});

test('certificates end with the authority, and after the time that is configured', async () => {
  const host = await hostWith(folderOf(), { 'plugin.muster.ca.validity': '30d' });
  const { certificate } = await sign(host, hook, asking({ identity: 'n1.example.net', keys }));
  const days = (Date.parse(new X509Certificate(certificate).validTo) - Date.now()) / 86_400_000;
  expect(days).toBeGreaterThan(29.9);
  expect(days).toBeLessThanOrEqual(30);
  const long = await hostWith(folderOf(), { 'plugin.muster.ca.validity': '50y' });
  const signed = await sign(long, hook, asking({ identity: 'n1.example.net', keys }));
  const [leaf, intermediate] = signed.certificate
    .split(/(?<=-----END CERTIFICATE-----\n)/)
    .map((pem) => new X509Certificate(pem));
  expect(leaf?.validTo).toBe(intermediate?.validTo);
});

describe('what is refused', () => {
  let host: TestHost;
  const { path: folder, remove: removeFolder } = temporaryFolder();
  beforeAll(async () => {
    const config = { 'plugin.muster.ca.folder': folder, 'plugin.muster.provisioning.names': '^shared\\.example\\.net$' };
    host = await startHost({ distribution: true, config });
  });
  afterAll(async () => {
    await host.stop();
    removeFolder();
  });
  const identity = 'n1.example.net';

  test.each([
    ['a name of a caller', { identity: 'ops.choria', keys }, 'which is a name of callers'],
    ['a name of a caller in capitals', { identity: 'ops.MCOLLECTIVE', keys }, 'which is a name of callers'],
    [
      'a name of a caller beside its own',
      { identity, keys, names: [identity, 'ops.privileged.choria'] },
      'which is a name of callers',
    ],
    ['the name of another node', { identity, keys, names: ['n2.example.net'] }, 'neither its own nor below it'],
    ['an address', { identity, keys, names: ['192.0.2.1'] }, 'neither its own nor below it'],
    ['a wildcard', { identity, keys, names: [`*.${identity}`] }, 'is no name of a host'],
    ['a name that is none', { identity: 'n1 example', keys }, 'is no name of a host'],
    ['a name that no certificate can have', { identity: `${'a'.repeat(60)}.example.net`, keys }, 'has 72 characters'],
    ['a country that is none', { identity, keys, subject: { C: 'Malta' } }, 'has a C that no certificate may have'],
    ['text that does not show', { identity, keys, subject: { O: 'A\u202eB' } }, 'has a O that no certificate may have'],
  ])('%s', async (_what, plan, message) => {
    await expect(provision(host, hook, asking(plan))).rejects.toThrow(message);
  });

  test('a request for another name, without one, with a foreign signature, or that is none', async () => {
    const other = asking({ identity: 'n2.example.net', keys });
    await expect(provision(host, hook, { ...other, identity })).rejects.toThrow(
      "is for 'n2.example.net' and not for n1.example.net",
    );
    await expect(provision(host, hook, { ...other, csr: null })).rejects.toThrow(
      'there is no certificate request of n2.example.net',
    );
    const foreign = asking({ identity, keys: { publicKey: keys.publicKey, privateKey: rsaKeys().privateKey } });
    await expect(provision(host, hook, foreign)).rejects.toThrow('not signed with its own key');
    await expect(provision(host, hook, { ...other, csr: { csr: 'garbage' } })).rejects.toThrow('there is no PEM block');
    const half = other.csr?.csr?.toString().slice(0, 300) ?? '';
    await expect(provision(host, hook, { ...other, csr: { csr: half } })).rejects.toThrow('there is no PEM block');
  });

  test('nothing of it is in the register, and a name that is allowed to all is given', async () => {
    expect(existsSync(join(folder, 'issued.jsonl'))).toBe(false);
    const { certificate } = await sign(host, hook, asking({ identity, keys, names: ['shared.example.net'] }));
    expect(new X509Certificate(certificate).subjectAltName).toBe('DNS:n1.example.net, DNS:shared.example.net');
  });
});

test('the configuration of a node has what is set for all of them', async () => {
  const folder = folderOf();
  const settings = join(folder, 'node.conf');
  writeFileSync(settings, '# brokers\nplugin.choria.middleware_hosts = b1:4222\nregistration_file = {{ssldir}}/{{identity}}\n');
  const host = await hostWith(join(folder, 'ca'), { 'plugin.muster.provisioning.node_settings': settings });
  const { configuration } = await sign(host, hook, asking({ identity: 'n1.example.net', keys }));
  expect(configuration).toMatchObject({
    identity: 'n1.example.net',
    'plugin.choria.server.provision': 'false',
    'plugin.security.file.key': '/etc/choria/ssl/private.pem',
    'plugin.choria.middleware_hosts': 'b1:4222',
    registration_file: '/etc/choria/ssl/n1.example.net',
  });
});

describe('several processes in one folder', () => {
  const script = `
    import { Authority } from '${distributionRoot()}/provisioning-hooks/built-in-ca/authority.js';
    import { createPolicy } from '${distributionRoot()}/plugins/wire/provisioning/policy.js';
    const [folder, name, count, csr] = process.argv.slice(2);
    const authority = await Authority.open({ folder, name: 'Test', validityMs: 86400000 });
    const policy = createPolicy({});
    for (let i = 0; i < Number(count); i += 1) {
      const pem = await authority.issue(policy({ identity: name, csr: { csr } }));
      process.stdout.write(JSON.stringify(pem) + '\\n');
    }`;

  function startIssuing(folder: string, name: string, count: number): { child: ChildProcess; certificates: string[] } {
    const file = join(folder, '..', `${name}.mjs`);
    writeFileSync(file, script);
    const csr = String(asking({ identity: name, keys }).csr?.csr);
    const child = spawn(process.execPath, [file, folder, name, String(count), csr], { stdio: ['ignore', 'pipe', 'inherit'] });
    const certificates: string[] = [];
    let rest = '';
    child.stdout?.on('data', (chunk: Buffer) => {
      const lines = (rest + chunk.toString()).split('\n');
      rest = lines.pop() ?? '';
      certificates.push(...lines.map((line) => JSON.parse(line) as string));
    });
    closers.push(() => child.kill('SIGKILL'));
    return { child, certificates };
  }

  const serialsOf = (certificates: readonly string[]) => certificates.map((pem) => new X509Certificate(pem).serialNumber);

  test('make one authority, and enter every certificate once', async () => {
    const folder = join(folderOf(), 'ca');
    const issuing = ['a', 'b', 'c'].map((name) => startIssuing(folder, `${name}.example.net`, 10));
    await Promise.all(issuing.map(({ child }) => once(child, 'close')));
    const all = issuing.flatMap(({ certificates }) => certificates);
    expect(all).toHaveLength(30);
    const issuer = new X509Certificate(readFileSync(join(folder, 'intermediate.pem')));
    for (const pem of all) expect(new X509Certificate(pem).verify(issuer.publicKey)).toBe(true);
    expect(
      issuedIn(folder)
        .map(({ serial }) => serial)
        .sort(),
    ).toEqual(serialsOf(all).sort());
    expect(readdirSync(folder).filter((name) => name.includes('.new'))).toEqual([]);
  });

  test('one that is killed in the middle leaves no certificate that is not entered, and holds up nobody for long', async () => {
    const folder = join(folderOf(), 'ca');
    const victim = startIssuing(folder, 'a.example.net', 100_000);
    await until('some are issued', () => victim.certificates.length > 5);
    victim.child.kill('SIGKILL');
    await once(victim.child, 'close');
    const next = startIssuing(folder, 'b.example.net', 3);
    await once(next.child, 'close');
    expect(next.certificates).toHaveLength(3);
    const entered = issuedIn(folder).map(({ serial }) => serial);
    for (const serial of serialsOf([...victim.certificates, ...next.certificates])) expect(entered).toContain(serial);
  });

  test('the lock of one that died is taken over', async () => {
    const folder = folderOf();
    mkdirSync(join(folder, 'lock'));
    const longAgo = new Date(Date.now() - 60_000);
    utimesSync(join(folder, 'lock'), longAgo, longAgo);
    const signed = await sign(await hostWith(folder), hook, asking({ identity: 'n1.example.net', keys }));
    expect(verdictOf(work, signed)).toBe('OK');
  });

  test('half a line of one that died is not read, and does not spoil the next', async () => {
    const folder = folderOf();
    const host = await hostWith(folder);
    await sign(host, hook, asking({ identity: 'n1.example.net', keys }));
    appendFileSync(join(folder, 'issued.jsonl'), '{"event":"issued","ser');
    const { certificate } = await sign(host, hook, asking({ identity: 'n2.example.net', keys }));
    expect(issuedIn(folder).map(({ identity }) => identity)).toEqual(['n1.example.net', 'n2.example.net']);
    const { serialNumber: serial } = new X509Certificate(certificate);
    expect(await host.host.call('provisioning-hook', hook, 'hook/revoke', { serial, reason: 'superseded' })).toMatchObject({
      revoked: true,
    });
  });

  test('what one left behind that was killed while it made the authority is made anew', async () => {
    const folder = folderOf();
    for (const name of ['root.key', 'root.pem', 'intermediate.key']) writeFileSync(join(folder, name), 'half', { mode: 0o600 });
    const signed = await sign(await hostWith(folder), hook, asking({ identity: 'n1.example.net', keys }));
    expect(verdictOf(work, signed)).toBe('OK');
  });
});

test('a certificate of another authority is not withdrawn', async () => {
  const host = await hostWith(folderOf());
  const answer = await host.host.call('provisioning-hook', hook, 'hook/revoke', { serial: 'ABCD', reason: 'superseded' });
  expect(answer).toMatchObject({ revoked: false });
});

describe('a new intermediate', () => {
  const issuerOf = (pem: string) => new X509Certificate(pem).issuer;
  const asked = asking({ identity: 'n1.example.net', keys });

  test('signs when the generation is raised; old and new certificates are good for who trusts old and new, and are revoked alike', async () => {
    const folder = folderOf();
    const before = await sign(await hostWith(folder), hook, asked);
    const host = await hostWith(folder, { 'plugin.muster.ca.generation': 2 });
    const after = await sign(host, hook, asked);
    expect([issuerOf(before.certificate), issuerOf(after.certificate)]).toEqual(['CN=Muster CA', 'CN=Muster CA 2']);
    expect(after.ca.match(/BEGIN CERTIFICATE/g)).toHaveLength(3);
    expect(after.ca.startsWith(before.ca)).toBe(true);
    for (const certificate of [before.certificate, after.certificate])
      for (const ca of [before.ca, after.ca]) expect(verdictOf(work, { certificate, ca }, '-x509_strict')).toBe('OK');
    const list = join(folder, 'crl.pem');
    for (const { certificate } of [before, after]) {
      const { serialNumber: serial } = new X509Certificate(certificate);
      await host.host.call('provisioning-hook', hook, 'hook/revoke', { serial, reason: 'superseded' });
      const verdict = verdictOf(work, { certificate, ca: after.ca }, '-CRLfile', list, '-crl_check_all');
      expect(verdict).toContain('certificate revoked');
    }
    expect(statSync(join(folder, 'intermediate-2.key')).mode & 0o777).toBe(0o600);
    // Another start makes no third one.
    expect(issuerOf((await sign(await hostWith(folder, { 'plugin.muster.ca.generation': 2 }), hook, asked)).certificate)).toBe(
      'CN=Muster CA 2',
    );
  });

  test('is made before the old one cuts certificates short', async () => {
    const folder = folderOf();
    await sign(await hostWith(folder), hook, asked);
    const pem = (name: string) => join(folder, name);
    const [dayMs, now] = [86_400_000, Date.now()];
    const key = createPrivateKey(readFileSync(pem('intermediate.key')));
    const ending = makeCertificate(
      {
        serial: randomSerial(),
        subject: { CN: 'Muster CA' },
        publicKey: createPublicKey(key),
        notBefore: new Date(now - 3_000 * dayMs),
        notAfter: new Date(now + 100 * dayMs),
        usages: ['keyCertSign', 'cRLSign'],
        authority: { pathLength: 0 },
      },
      {
        subject: { CN: 'Muster Root CA' },
        publicKey: new X509Certificate(readFileSync(pem('root.pem'))).publicKey,
        privateKey: createPrivateKey(readFileSync(pem('root.key'))),
      },
    );
    writeFileSync(pem('intermediate.pem'), ending);
    const host = await hostWith(folder);
    const all = await Promise.all([1, 2, 3, 4].map(() => sign(host, hook, asked)));
    for (const { certificate } of all) {
      expect(issuerOf(certificate)).toBe('CN=Muster CA 2');
      expect(Date.parse(new X509Certificate(certificate).validTo) - now).toBeGreaterThan(364 * dayMs);
    }
    expect(existsSync(pem('intermediate-3.pem'))).toBe(false);
    const short = await hostWith(folder, { 'plugin.muster.ca.validity': '30d' });
    expect(issuerOf((await sign(short, hook, asked)).certificate)).toBe('CN=Muster CA 2');
  });

  test('a number that is none is refused', async () => {
    const host = await hostWith(folderOf(), { 'plugin.muster.ca.generation': 5_000 });
    await expect(sign(host, hook, asked)).rejects.toThrow('plugin.muster.ca.generation is 5000');
  });
});

describe('a node with an ed25519 key', () => {
  const request = {
    identity: 'n1.example.net',
    csr: null,
    ed25519_pubkey: { public_key: 'ab'.repeat(32), directory: '/etc/node', signature: 'cd'.repeat(64) },
    inventory: '{}',
    jwt: null,
  };
  const issuers = { 'plugin.security.issuer.names': 'acme', 'plugin.security.issuer.acme.public': 'ef'.repeat(32) };

  test('is told where its token and seed are and whom to trust, and needs no certificate', async () => {
    const folder = folderOf();
    expect(await provision(await hostWith(folder, issuers), hook, request)).toEqual({
      configuration: {
        identity: 'n1.example.net',
        'plugin.choria.server.provision': 'false',
        'plugin.security.provider': 'choria',
        'plugin.security.choria.token_file': '/etc/node/server.jwt',
        'plugin.security.choria.seed_file': '/etc/node/server.seed',
        'plugin.security.issuer.names': 'acme',
        'plugin.security.issuer.acme.public': 'ef'.repeat(32),
      },
      server_claims: { permissions: { submission: true, streams: true } },
    });
    expect(existsSync(join(folder, 'root.pem'))).toBe(false);
  });

  test.each([
    ['without issuers', {}, {}, 'set plugin.security.issuer.names'],
    [
      'with a key that is none',
      { ...issuers, 'plugin.security.issuer.acme.public': 'x' },
      {},
      'plugin.security.issuer.acme.public is no ed25519 key',
    ],
    ['with a name of callers', issuers, { identity: 'bob.mcollective' }, 'a name of callers'],
  ])('is refused %s', async (_what, config, changes, message) => {
    const host = await hostWith(folderOf(), config);
    await expect(provision(host, hook, { ...request, ...changes })).rejects.toThrow(message);
  });

  test('hooks around other authorities answer alike', async () => {
    const host = await hostWith(folderOf(), issuers);
    const [own, other] = await Promise.all([provision(host, hook, request), provision(host, 'vault', request)]);
    expect(other).toEqual(own);
  });
});
