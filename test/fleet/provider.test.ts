// Where certificates are found: the providers `file` and `puppet`, and what is said when something is missing.

import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { issueFiles, openAuthority } from '../../plugins/overlay/ca.ts';
import { temporaryFolder } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';

const open: { stop(): Promise<void> | void }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.stop();
});

async function identity(config: Record<string, unknown>, role: string): Promise<Record<string, unknown>> {
  const host: TestHost = await startHost({ distribution: true, config });
  open.push(host);
  return (await host.host.call('security', 'x509', 'security/identity', { role })) as Record<string, unknown>;
}

test('provider puppet finds certificate, key and CA as Puppet lays them out', async () => {
  const { path, remove } = temporaryFolder();
  open.push({ stop: remove });
  const files = await issueFiles(await openAuthority(join(path, 'ca'), 'Puppet CA'), { commonName: 'n1.test' });
  const ssl = join(path, 'ssl');
  for (const folder of ['certs', 'private_keys']) mkdirSync(join(ssl, folder), { recursive: true });
  copyFileSync(files.cert, join(ssl, 'certs/n1.test.pem'));
  copyFileSync(files.key, join(ssl, 'private_keys/n1.test.pem'));
  copyFileSync(files.ca, join(ssl, 'certs/ca.pem'));
  const found = await identity(
    { identity: 'n1.test', 'plugin.security.provider': 'puppet', 'plugin.choria.ssldir': ssl },
    'server',
  );
  expect(found).toMatchObject({
    identity: 'n1.test',
    certname: 'n1.test',
    callerid: 'choria=n1.test',
    tls: { cert: join(ssl, 'certs/n1.test.pem') },
  });
});

test('a missing file is named with what it should hold', async () => {
  await expect(
    identity(
      {
        'plugin.security.provider': 'file',
        'plugin.security.file.certificate': '/no/such.pem',
        'plugin.security.file.key': '/no/such.key',
        'plugin.security.file.ca': '/no/ca.pem',
      },
      'server',
    ),
  ).rejects.toThrow(/\/no\/such\.pem/);
});

test('a missing key of the configuration is named', async () => {
  await expect(identity({ 'plugin.security.provider': 'file' }, 'server')).rejects.toThrow(/plugin\.security\.file\.certificate/);
});

test('a key that does not belong to its certificate is refused', async () => {
  const { path, remove } = temporaryFolder();
  open.push({ stop: remove });
  const authority = await openAuthority(path, 'CA');
  const [one, other] = [
    await issueFiles(authority, { commonName: 'one.test' }),
    await issueFiles(authority, { commonName: 'other.test' }),
  ];
  await expect(
    identity(
      {
        'plugin.security.provider': 'file',
        'plugin.security.file.certificate': one.cert,
        'plugin.security.file.key': other.key,
        'plugin.security.file.ca': one.ca,
      },
      'server',
    ),
  ).rejects.toThrow(/does not belong to the certificate/);
});
