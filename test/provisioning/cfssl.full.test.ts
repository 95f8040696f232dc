// The hook for cfssl, against a real `cfssl serve` with a database, an intermediate, and a profile that wants a key.

import { spawnSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runMuster, writeConfig } from '../support/command.ts';
import { freePort, temporaryFolder, until } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';
import { asking, goProgram, makeAuthorityFiles, provision, rsaKeys, Served, sign, verdictOf } from '../support/provisioning.ts';

const { path: work, remove } = temporaryFolder();
const keys = rsaKeys();
const authKey = '0123456789abcdef0123456789abcdef';
const columns =
  'serial_number blob NOT NULL, authority_key_identifier blob NOT NULL, ca_label blob, status blob NOT NULL, reason int, expiry timestamp, revoked_at timestamp, pem blob NOT NULL, issued_at timestamp, not_before timestamp, metadata blob, sans blob, common_name text, PRIMARY KEY(serial_number, authority_key_identifier)';
let served: Served;
let host: TestHost;
let config: Record<string, unknown>;
let url: string;

beforeAll(async () => {
  const cfssl = await goProgram('cfssl');
  makeAuthorityFiles(work);
  const database = join(work, 'certs.db');
  const made = spawnSync('python3', [
    '-c',
    `import sqlite3; sqlite3.connect('${database}').execute('CREATE TABLE certificates (${columns})')`,
  ]);
  if (made.status !== 0) throw new Error(`this test needs python3 with sqlite3, for the database of cfssl: ${made.stderr}`);
  const usages = ['signing', 'digital signature', 'key encipherment', 'server auth', 'client auth'];
  const profiles = { node: { usages, expiry: '2160h', auth_key: 'node' } };
  const files = {
    'db.json': { driver: 'sqlite3', data_source: database },
    'config.json': {
      signing: { default: { usages, expiry: '2160h' }, profiles },
      auth_keys: { node: { type: 'standard', key: authKey } },
    },
  };
  for (const [name, value] of Object.entries(files)) writeFileSync(join(work, name), JSON.stringify(value));
  writeFileSync(join(work, 'auth.key'), `${authKey}\n`, { mode: 0o600 });
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  const args = [
    'serve',
    '-address',
    '127.0.0.1',
    '-port',
    String(port),
    '-ca',
    'intermediate.pem',
    '-ca-key',
    'intermediate.key',
  ];
  served = new Served(cfssl, [...args, '-config', 'config.json', '-db-config', 'db.json'], work);
  await until(
    'cfssl serves',
    async () => {
      if (served.hasEnded) throw new Error(served.output.join(''));
      return await fetch(`${url}/api/v1/cfssl/info`, { method: 'POST', body: '{"label":""}' }).then(
        ({ ok }) => ok,
        () => false,
      );
    },
    30_000,
  );
  config = {
    'plugin.muster.cfssl.url': url,
    'plugin.muster.cfssl.profile': 'node',
    'plugin.muster.cfssl.auth_key_file': join(work, 'auth.key'),
    'plugin.muster.cfssl.ca': join(work, 'ca.pem'),
  };
  host = await startHost({ distribution: true, config });
}, 300_000);

afterAll(async () => {
  await host?.stop();
  await served?.stop();
  remove();
});

test('signs so that openssl verifies it, with the name that the request did not have', async () => {
  const subject = { C: 'MT', L: 'Valletta', O: 'Example', OU: 'Nodes' };
  const signed = await sign(host, 'cfssl', asking({ identity: 'n1.example.net', keys, subject }));
  expect(verdictOf(work, signed, '-verify_hostname', 'n1.example.net')).toBe('OK');
  const leaf = new X509Certificate(signed.certificate);
  expect(leaf.subjectAltName).toBe('DNS:n1.example.net');
  expect(leaf.subject.split('\n').sort()).toEqual(['C=MT', 'CN=n1.example.net', 'L=Valletta', 'O=Example', 'OU=Nodes']);
});

test('does the same as a process of its own', async () => {
  const apart = await startHost({ distribution: true, config, inlineAs: 'persistent' });
  try {
    const signed = await sign(apart, 'cfssl', asking({ identity: 'n5.example.net', keys }));
    expect(verdictOf(work, signed, '-verify_hostname', 'n5.example.net')).toBe('OK');
  } finally {
    await apart.stop();
  }
});

test('holds up to check-ca, revocation included', async () => {
  const file = writeConfig(work, 'muster.conf', config);
  const args = [
    'provisioning',
    'check-ca',
    'cfssl',
    '--config',
    file,
    '--revoke',
    '--json',
    '--rate-seconds',
    '3',
    '--min-rate',
    '60',
  ];
  const { code, out, err } = await runMuster(args);
  expect(err).toBe('');
  const { rules } = JSON.parse(out) as { rules: { rule: string; verdict: string; detail: string }[] };
  expect(rules.filter(({ verdict }) => verdict === 'failed')).toEqual([]);
  expect(rules.find(({ rule }) => rule === 'revoke')).toMatchObject({ verdict: 'passed' });
  expect(code).toBe(0);
});

test('puts a node off when the key is wrong or nobody serves, and refuses a caller by itself', async () => {
  writeFileSync(join(work, 'wrong.key'), 'ff'.repeat(16), { mode: 0o600 });
  const wrong = await startHost({
    distribution: true,
    config: { ...config, 'plugin.muster.cfssl.auth_key_file': join(work, 'wrong.key') },
  });
  const away = await startHost({
    distribution: true,
    config: { ...config, 'plugin.muster.cfssl.url': `http://127.0.0.1:${await freePort()}` },
  });
  try {
    const request = asking({ identity: 'n1.example.net', keys });
    expect(await provision(wrong, 'cfssl', request)).toMatchObject({
      defer: true,
      msg: expect.stringMatching(/^cfssl authsign: /),
    });
    expect(await provision(away, 'cfssl', request)).toMatchObject({
      defer: true,
      msg: expect.stringContaining('can not be asked'),
    });
    await expect(provision(host, 'cfssl', asking({ identity: 'ops.choria', keys }))).rejects.toThrow('name of callers');
  } finally {
    await wrong.stop();
    await away.stop();
  }
});

test('the database of cfssl knows the revoked certificate', async () => {
  const { certificate } = await sign(host, 'cfssl', asking({ identity: 'n2.example.net', keys }));
  const serial = new X509Certificate(certificate).serialNumber;
  const answer = await host.host.call('provisioning-hook', 'cfssl', 'hook/revoke', { serial, certificate, reason: 'superseded' });
  expect(answer).toEqual({ revoked: true, crl: `${url}/api/v1/cfssl/crl` });
  const query = `import sqlite3; print(sqlite3.connect('${join(work, 'certs.db')}').execute("SELECT status FROM certificates WHERE serial_number = '${BigInt(`0x${serial}`)}'").fetchone()[0])`;
  const { stdout } = spawnSync('python3', ['-c', query], { encoding: 'utf8' });
  expect(stdout.trim()).toBe('revoked');
  expect(readFileSync(join(work, 'ca.pem'), 'utf8').match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
});
