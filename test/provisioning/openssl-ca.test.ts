// The hook in shell: the openssl program keeps the authority, and processes share its folder.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { temporaryFolder, until } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';
import { asking, ecKeys, openssl, provision, rsaKeys, type Signed, sign, verdictOf } from '../support/provisioning.ts';

const keys = rsaKeys();
const hook = 'openssl-ca';
const { path: work, remove } = temporaryFolder();
const ca = join(work, 'ca');
const script = join(distributionRoot(), 'provisioning-hooks/openssl-ca/openssl-ca.sh');
let host: TestHost;

beforeAll(async () => {
  host = await startHost({ distribution: true, config: { 'plugin.muster.openssl_ca.folder': ca } });
});
afterAll(async () => {
  await host.stop();
  remove();
});

/** The script as Choria's provisioner would run it: nothing of Muster in its environment. */
function run(folder: string, identity: string): { child: ChildProcess; answer: Promise<Signed> } {
  const child = spawn(script, [], {
    env: { PATH: `${process.env.PATH}:${dirname(process.execPath)}`, OPENSSL_CA: folder },
    stdio: 'pipe',
    detached: true,
  });
  let [out, err] = ['', ''];
  child.stdout?.on('data', (chunk: Buffer) => {
    out += chunk.toString();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    err += chunk.toString();
  });
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(JSON.stringify(asking({ identity, keys })));
  const answer = once(child, 'close').then(([code]) => {
    if (code !== 0) throw new Error(`${code}: ${err}`);
    return JSON.parse(out) as Signed;
  });
  return { child, answer };
}

const indexOf = (folder: string): string[][] =>
  readFileSync(join(folder, 'index.txt'), 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => line.split('\t'));

test.each([
  ['RSA', rsaKeys],
  ['ECDSA', ecKeys],
])('signs a key of the type %s so that openssl verifies it for both ends of TLS', async (_name, make) => {
  const subject = { C: 'MT', O: 'Example; $(id) `id`', OU: 'Nodes' };
  const signed = await sign(host, hook, asking({ identity: 'n1.example.net', keys: make(), subject }));
  for (const purpose of ['sslclient', 'sslserver'])
    expect(verdictOf(work, signed, '-x509_strict', '-purpose', purpose, '-verify_hostname', 'n1.example.net')).toBe('OK');
  const leaf = new X509Certificate(signed.certificate);
  expect(leaf.subjectAltName).toBe('DNS:n1.example.net');
  expect(leaf.subject.split('\n')).toEqual(['C=MT', 'O=Example\\; $(id) `id`', 'OU=Nodes', 'CN=n1.example.net']);
  expect(leaf.serialNumber).toMatch(/^[4-7][0-9A-F]{39}$/);
  expect(signed.configuration).toMatchObject({ identity: 'n1.example.net', 'plugin.choria.server.provision': 'false' });
  for (const name of ['root.key', 'intermediate.key', 'index.txt']) expect(statSync(join(ca, name)).mode & 0o777).toBe(0o600);
});

test.each([
  ['a name of a caller', { identity: 'ops.choria', keys }, 'is a name of callers'],
  ['the name of another node', { identity: 'n1.example.net', keys, names: ['n2.example.net'] }, 'only its own name is given'],
  ['a name that would add an extension', { identity: 'n1\nsubjectAltName = DNS:n2', keys }, 'is no name of a host'],
])('refuses %s', async (_what, plan, message) => {
  await expect(provision(host, hook, asking(plan))).rejects.toThrow(message);
});

test('refuses a request for another name, or with a foreign signature', async () => {
  const other = asking({ identity: 'n2.example.net', keys });
  await expect(provision(host, hook, { ...other, identity: 'n1.example.net' })).rejects.toThrow("is for 'n2.example.net'");
  const mixed = { publicKey: keys.publicKey, privateKey: rsaKeys().privateKey };
  await expect(provision(host, hook, asking({ identity: 'n1.example.net', keys: mixed }))).rejects.toThrow(
    'not signed with its own key',
  );
});

test('withdraws a certificate, and openssl then refuses it by the published list', async () => {
  const kept = await sign(host, hook, asking({ identity: 'n3.example.net', keys }));
  const lost = await sign(host, hook, asking({ identity: 'n3.example.net', keys }));
  const serial = new X509Certificate(lost.certificate).serialNumber;
  const revoke = (number: string) =>
    host.host.call('provisioning-hook', hook, 'hook/revoke', { serial: number, reason: 'superseded' });
  const list = join(ca, 'crl.pem');
  expect(await revoke(serial)).toEqual({ revoked: true, crl: list });
  expect(await revoke(serial)).toEqual({ revoked: true, crl: list });
  expect(await revoke('ABCD')).toEqual({ revoked: false });
  const flags = ['-CRLfile', list, '-crl_check'];
  expect(verdictOf(work, kept, ...flags)).toBe('OK');
  expect(verdictOf(work, lost, ...flags)).toContain('certificate revoked');
  expect(openssl(['crl', '-noout', '-text', '-in', list])).toContain('Superseded');
});

test('runs unchanged as a helper of Choria, twelve at once, and enters every certificate', async () => {
  const folder = join(work, 'parallel');
  const names = Array.from({ length: 12 }, (_, index) => `p${index}.example.net`);
  const answers = await Promise.all(names.map((name) => run(folder, name).answer));
  for (const answer of answers) expect(verdictOf(work, answer)).toBe('OK');
  const serials = answers.map(({ certificate }) => new X509Certificate(certificate).serialNumber);
  expect(
    indexOf(folder)
      .map(([, , , serial]) => serial)
      .sort(),
  ).toEqual(serials.sort());
  expect(openssl(['ca', '-config', join(folder, 'openssl.cnf'), '-gencrl'])).toContain('BEGIN X509 CRL');
});

test('one that is killed while it has the lock does not hold up the next, and its half line is mended', async () => {
  const folder = join(work, 'killed');
  await run(folder, 'k1.example.net').answer;
  const lock = spawn('flock', [join(folder, 'lock'), 'sleep', '600'], { detached: true, stdio: 'ignore' });
  await until('the lock is taken', () => spawnSync('flock', ['-n', join(folder, 'lock'), 'true']).status === 1);
  const waiting = run(folder, 'k2.example.net');
  appendFileSync(join(folder, 'index.txt'), 'V\t2701');
  process.kill(-Number(lock.pid), 'SIGKILL');
  await waiting.answer;
  expect(indexOf(folder).map((line) => line.at(-1))).toEqual(['/CN=k1.example.net', '/CN=k2.example.net']);
});

test('several that are killed at any moment leave nothing that the others trip over', async () => {
  const folder = join(work, 'kills');
  await run(folder, 'first.example.net').answer;
  const all = Array.from({ length: 6 }, (_, index) => run(folder, `m${index}.example.net`));
  const [early, late, ...kept] = all;
  const killed = [early, late].map((one) =>
    one?.answer.then(
      () => 'answered',
      () => 'killed',
    ),
  );
  process.kill(-Number(early?.child.pid), 'SIGKILL');
  // The other one when somebody has signed, which is when it is most likely in the middle of it.
  await Promise.race(kept.map(({ answer }) => answer));
  if (late?.child.exitCode === null && late.child.signalCode === null) process.kill(-Number(late.child.pid), 'SIGKILL');
  const answers = await Promise.all(kept.map(({ answer }) => answer));
  expect(await killed[0]).toBe('killed');
  await killed[1];
  const entered = indexOf(folder).map(([, , , serial]) => serial);
  for (const { certificate } of answers) expect(entered).toContain(new X509Certificate(certificate).serialNumber);
  expect(verdictOf(work, await run(folder, 'last.example.net').answer)).toBe('OK');
  expect(openssl(['ca', '-config', join(folder, 'openssl.cnf'), '-gencrl'])).toContain('BEGIN X509 CRL');
});

test('an authority of which only a part was made is made anew', async () => {
  const folder = join(work, 'half');
  mkdirSync(folder);
  writeFileSync(join(folder, 'root.key'), 'half');
  expect(verdictOf(work, await run(folder, 'h1.example.net').answer)).toBe('OK');
  expect(existsSync(join(folder, 'crl.pem'))).toBe(true);
});

test('a program that is missing is named', () => {
  const { status, stderr } = spawnSync('/bin/sh', [script], {
    input: '{}',
    encoding: 'utf8',
    env: { PATH: process.env.PATH, OPENSSL: 'no-such-openssl' },
  });
  expect(status).toBe(1);
  expect(stderr).toContain('openssl-ca needs no-such-openssl, which is not on PATH');
});
