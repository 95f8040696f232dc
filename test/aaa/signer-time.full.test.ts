// What ends or is replaced while the signer runs: tokens, and the keys that they are verified with.

import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
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
}, 60_000);
afterAll(async () => {
  await service.stop();
  remove();
});

test('a token that was good is refused once it ends', async () => {
  const short = await service.user('short', { validitySeconds: 2 });
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
