// The hook for Vault, against a stand-in that answers as Vault's documentation says; the real one was not at hand.

import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { crookedTarget } from '../support/crooked-ca.ts';
import { temporaryFolder } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';
import { asking, provision, rsaKeys, sign, verdictOf } from '../support/provisioning.ts';

const { path: work, remove } = temporaryFolder();
const keys = rsaKeys();
const token = 'hvs.secret';
const asked: { path: string; body: Record<string, unknown> }[] = [];
let server: Server;
let host: TestHost;
let url: string;

/** What `POST /v1/pki/sign/node` and `/v1/pki/revoke` answer. */
async function answer(path: string, body: Record<string, unknown>): Promise<{ status: number; value: object }> {
  if (path === '/v1/pki/sign/node') {
    if (body.common_name === 'n9.example.net')
      return { status: 400, value: { errors: ['common name n9.example.net not allowed by this role'] } };
    const { certificate, ca } = await authority.provision({
      identity: String(body.common_name),
      inventory: '{}',
      csr: { csr: String(body.csr) },
    });
    return {
      status: 200,
      value: { data: { certificate, issuing_ca: ca, ca_chain: [ca], serial_number: '1a:2b', expiration: 1_900_000_000 } },
    };
  }
  if (path === '/v1/pki/revoke') return { status: 200, value: { data: { revocation_time: 1_433_269_787, state: 'revoked' } } };
  return { status: 404, value: { errors: [] } };
}
const authority = crookedTarget();

beforeAll(async () => {
  server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk: Buffer) => {
      text += chunk.toString();
    });
    request.on('end', () => {
      const body = JSON.parse(text) as Record<string, unknown>;
      asked.push({ path: String(request.url), body });
      const allowed = request.headers['x-vault-token'] === token;
      void (
        allowed ? answer(String(request.url), body) : Promise.resolve({ status: 403, value: { errors: ['permission denied'] } })
      ).then(({ status, value }) =>
        response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value)),
      );
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  writeFileSync(join(work, 'token'), `${token}\n`, { mode: 0o600 });
  host = await startHost({ distribution: true, config: configOf({}) });
});
afterAll(async () => {
  await host.stop();
  server.close();
  remove();
});

function configOf(more: Record<string, unknown>): Record<string, unknown> {
  return {
    'plugin.muster.vault.url': url,
    'plugin.muster.vault.token_file': join(work, 'token'),
    'plugin.muster.vault.role': 'node',
    'plugin.muster.vault.validity': '30d',
    ...more,
  };
}

test('asks for the name as an alternative name, and for the time that is configured', async () => {
  const request = asking({ identity: 'n1.example.net', keys, names: ['n1.example.net', 'www.n1.example.net'] });
  const signed = await sign(host, 'vault', request);
  expect(verdictOf(work, signed, '-verify_hostname', 'n1.example.net')).toBe('OK');
  expect(asked.at(-1)).toEqual({
    path: '/v1/pki/sign/node',
    body: {
      csr: request.csr?.csr,
      common_name: 'n1.example.net',
      alt_names: 'n1.example.net,www.n1.example.net',
      format: 'pem',
      ttl: '2592000s',
    },
  });
  // A root that signs by itself is trusted, and is not sent along.
  expect(signed.certificate.match(/BEGIN CERTIFICATE/g)).toHaveLength(1);
  expect(signed.ca.match(/BEGIN CERTIFICATE/g)).toHaveLength(1);
});

test('puts a node off with the reason that Vault gives', async () => {
  expect(await provision(host, 'vault', asking({ identity: 'n9.example.net', keys }))).toEqual({
    defer: true,
    msg: 'vault sign/node: common name n9.example.net not allowed by this role',
  });
});

test('does the same as a process of its own', async () => {
  const apart = await startHost({ distribution: true, config: configOf({}), inlineAs: 'persistent' });
  try {
    const signed = await sign(apart, 'vault', asking({ identity: 'n2.example.net', keys }));
    expect(verdictOf(work, signed, '-verify_hostname', 'n2.example.net')).toBe('OK');
  } finally {
    await apart.stop();
  }
});

test('revokes by the serial number as Vault writes it', async () => {
  const serial = new X509Certificate((await sign(host, 'vault', asking({ identity: 'n1.example.net', keys }))).certificate)
    .serialNumber;
  const revoked = await host.host.call('provisioning-hook', 'vault', 'hook/revoke', { serial, reason: 'superseded' });
  expect(revoked).toEqual({ revoked: true, crl: `${url}/v1/pki/crl/pem` });
  expect(String(asked.at(-1)?.body.serial_number)).toMatch(/^([0-9a-f]{2}:){19}[0-9a-f]{2}$/);
});

test('a wrong token, a missing role and a missing file are each told', async () => {
  writeFileSync(join(work, 'wrong'), 'hvs.other', { mode: 0o600 });
  const request = asking({ identity: 'n1.example.net', keys });
  const attempt = async (more: Record<string, unknown>) => {
    const other = await startHost({ distribution: true, config: configOf(more) });
    try {
      return await provision(other, 'vault', request).catch((error: Error) => ({ error: error.message }));
    } finally {
      await other.stop();
    }
  };
  expect(await attempt({ 'plugin.muster.vault.token_file': join(work, 'wrong') })).toEqual({
    defer: true,
    msg: 'vault sign/node: permission denied',
  });
  expect(await attempt({ 'plugin.muster.vault.role': 'absent' })).toEqual({ error: 'vault has no pki/sign/absent' });
  expect(await attempt({ 'plugin.muster.vault.token_file': join(work, 'none') })).toMatchObject({
    error: expect.stringMatching(/^plugin\.muster\.vault\.token_file: ENOENT/),
  });
});
