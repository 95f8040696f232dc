// The hook for step-ca, against a real one with a JWK provisioner.

import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { callApi } from '../../plugins/wire/provisioning/http.ts';
import { runMuster, writeConfig } from '../support/command.ts';
import { freePort, temporaryFolder, until } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';
import { asking, goProgram, makeAuthorityFiles, provision, rsaKeys, Served, sign, verdictOf } from '../support/provisioning.ts';

const { path: work, remove } = temporaryFolder();
const keys = rsaKeys();
/** Without it step-ca keeps nothing of a subject but the name. */
const template = `{
  "subject": {{ toJson .Insecure.CR.Subject }},
  "sans": {{ toJson .SANs }},
  "keyUsage": ["digitalSignature", "keyEncipherment"],
  "extKeyUsage": ["serverAuth", "clientAuth"]
}`;
let served: Served;
let host: TestHost;
let config: Record<string, unknown>;

beforeAll(async () => {
  const program = await goProgram('step-ca');
  makeAuthorityFiles(work);
  mkdirSync(join(work, 'db'));
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const about = { use: 'sig', kid: 'muster-1', alg: 'ES256' };
  writeFileSync(join(work, 'provisioner.jwk'), JSON.stringify({ ...pair.privateKey.export({ format: 'jwk' }), ...about }), {
    mode: 0o600,
  });
  const port = await freePort();
  const claims = { maxTLSCertDuration: '8760h', defaultTLSCertDuration: '2160h' };
  const key = { ...pair.publicKey.export({ format: 'jwk' }), ...about };
  const authority = {
    root: join(work, 'root.pem'),
    crt: join(work, 'intermediate.pem'),
    key: join(work, 'intermediate.key'),
    address: `127.0.0.1:${port}`,
    dnsNames: ['localhost', '127.0.0.1'],
    db: { type: 'badgerv2', dataSource: join(work, 'db') },
    crl: { enabled: true },
    authority: { provisioners: [{ type: 'JWK', name: 'muster', key, claims, options: { x509: { template } } }] },
  };
  writeFileSync(join(work, 'ca.json'), JSON.stringify(authority));
  served = new Served(program, [join(work, 'ca.json')], work);
  const url = `https://localhost:${port}`;
  await until(
    'step-ca serves',
    async () => {
      if (served.hasEnded) throw new Error(served.output.join(''));
      return callApi({ url, trustFile: join(work, 'root.pem') }, { method: 'GET', path: '/health' }).then(
        ({ status }) => status === 200,
        () => false,
      );
    },
    30_000,
  );
  config = {
    'plugin.muster.step_ca.url': url,
    'plugin.muster.step_ca.root': join(work, 'root.pem'),
    'plugin.muster.step_ca.provisioner': 'muster',
    'plugin.muster.step_ca.key_file': join(work, 'provisioner.jwk'),
  };
  host = await startHost({ distribution: true, config });
}, 600_000);

afterAll(async () => {
  await host?.stop();
  await served?.stop();
  remove();
});

test('signs so that openssl verifies it, with the names that the token has', async () => {
  const names = ['n1.example.net', 'www.n1.example.net'];
  const plain = await sign(host, 'step-ca', asking({ identity: 'n1.example.net', keys }));
  const signed = await sign(host, 'step-ca', asking({ identity: 'n1.example.net', keys, names }));
  expect(verdictOf(work, plain, '-verify_hostname', 'n1.example.net')).toBe('OK');
  expect(verdictOf(work, signed, '-verify_hostname', 'www.n1.example.net')).toBe('OK');
  expect(new X509Certificate(plain.certificate).subjectAltName).toBe('DNS:n1.example.net');
});

test('does the same as a process of its own', async () => {
  const apart = await startHost({ distribution: true, config, inlineAs: 'persistent' });
  try {
    const signed = await sign(apart, 'step-ca', asking({ identity: 'n5.example.net', keys }));
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
    'step-ca',
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

test('gives certificates for as long as is configured, and puts a node off if step-ca does not', async () => {
  const short = await startHost({ distribution: true, config: { ...config, 'plugin.muster.step_ca.validity': '30d' } });
  const long = await startHost({ distribution: true, config: { ...config, 'plugin.muster.step_ca.validity': '3y' } });
  try {
    const request = asking({ identity: 'n3.example.net', keys });
    const { certificate } = await sign(short, 'step-ca', request);
    const days = (Date.parse(new X509Certificate(certificate).validTo) - Date.now()) / 86_400_000;
    expect(days).toBeGreaterThan(29.9);
    expect(days).toBeLessThan(30.1);
    expect(await provision(long, 'step-ca', request)).toMatchObject({
      defer: true,
      msg: expect.stringMatching(/^step-ca \/1\.0\/sign: /),
    });
  } finally {
    await short.stop();
    await long.stop();
  }
});

test('a provisioner whose key it is not is put off, and one without a key is told so', async () => {
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' });
  writeFileSync(join(work, 'stranger.jwk'), JSON.stringify({ ...stranger, kid: 'muster-1', alg: 'ES256' }), { mode: 0o600 });
  const other = await startHost({
    distribution: true,
    config: { ...config, 'plugin.muster.step_ca.key_file': join(work, 'stranger.jwk') },
  });
  const none = await startHost({
    distribution: true,
    config: { ...config, 'plugin.muster.step_ca.key_file': join(work, 'root.pem') },
  });
  try {
    const request = asking({ identity: 'n4.example.net', keys });
    expect(await provision(other, 'step-ca', request)).toMatchObject({ defer: true });
    await expect(provision(none, 'step-ca', request)).rejects.toThrow('key_file is no JSON');
  } finally {
    await other.stop();
    await none.stop();
  }
});
