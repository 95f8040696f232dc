// What ends or is replaced while the signer runs: tokens, and the keys that they are verified with. What is no call at all.

import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Authority, openAuthority } from '../../plugins/overlay/ca.ts';
import { makeClientToken } from '../../plugins/wire/tokens/client.ts';
import { publicHex } from '../../plugins/wire/tokens/ed25519.ts';
import { temporaryFolder, until } from '../support/folders.ts';
import { SignerService, secureOf } from '../support/signer-service.ts';

const { path: folder, remove } = temporaryFolder();
let authority: Authority;
let service: SignerService;

beforeAll(async () => {
  authority = await openAuthority(join(folder, 'ca'), 'Test CA');
  service = await SignerService.start(authority);
});
afterAll(async () => {
  await service.stop();
  remove();
});

test('a token that was good is refused once it ends', async () => {
  const short = await service.user('short', { validitySeconds: 10 });
  secureOf(await service.sign(short));
  await until('its time is up', async () => (await service.sign(short)).body.error === 'Request denied');
  expect(service.host?.log.filter(({ message }) => message.startsWith('refused')).at(-1)?.message).toContain('expired');
});

test('keys that were replaced count for the next request', async () => {
  const other = await SignerService.start(authority);
  try {
    const user = await other.user('anna');
    secureOf(await other.sign(user));
    const next = generateKeyPairSync('ed25519').privateKey;
    writeFileSync(join(other.folder, 'org.public'), publicHex(next));
    await until('the old key does not count', async () => (await other.sign(user)).body.error === 'Request denied');
    const { privateKey } = generateKeyPairSync('ed25519');
    const token = await makeClientToken(
      { callerid: 'up=anna', publicKey: publicHex(privateKey), agents: ['*'], validitySeconds: 60 },
      { key: { algorithm: 'EdDSA', key: next } },
    );
    secureOf(await other.sign({ ...user, key: privateKey, token }));
  } finally {
    await other.stop();
  }
});

function raw(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    let answer = '';
    socket.on('data', (chunk) => {
      answer += chunk.toString();
    });
    socket.once('close', () => resolve(answer));
    socket.once('error', reject);
  });
}

test.each([
  ['what is no HTTP', 'hello\r\n\r\n', /^HTTP\/1\.1 400 /],
  [
    'two lengths',
    'POST /choria/v1/sign HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}',
    /^HTTP\/1\.1 400 /,
  ],
  [
    'a length and chunks',
    'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    /^HTTP\/1\.1 400 /,
  ],
  ['endless headers', `GET / HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(40_000)}\r\n\r\n`, /^HTTP\/1\.1 431 /],
  [
    'a body that is announced too large',
    'POST /choria/v1/sign HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n',
    /^HTTP\/1\.1 413 /,
  ],
])('%s is refused and cut off', async (_what, bytes, answer) => {
  expect(await raw(service.port, bytes)).toMatch(answer);
  secureOf(await service.sign(await service.user('anna')));
});

test('clients of networks that are not allowed get no answer', async () => {
  const closed = await SignerService.start(authority, { settings: { allowed_clients: ['192.0.2.0/24'] } });
  const open = await SignerService.start(authority, { settings: { allowed_clients: ['192.0.2.0/24', '127.0.0.1'] } });
  try {
    await expect(closed.sign(await closed.user('anna'))).rejects.toThrow();
    secureOf(await open.sign(await open.user('anna')));
  } finally {
    await closed.stop();
    await open.stop();
  }
});
