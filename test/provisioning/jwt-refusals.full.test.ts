// `muster jwt`: other keys, and what it refuses.

import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runMuster } from '../support/command.ts';
import { temporaryFolder } from '../support/folders.ts';

let folder: string;
let remove: () => void;
const at = (name: string) => join(folder, name);
const jwt = (...args: string[]) => runMuster(['jwt', ...args]);

beforeAll(async () => {
  ({ path: folder, remove } = temporaryFolder());
  expect((await jwt('keys', at('seed'), at('public'))).code).toBe(0);
});
afterAll(() => remove());

test('an RSA key signs as well, and a token that another key signed is told from it', async () => {
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  writeFileSync(at('rsa.key'), privateKey.export({ type: 'pkcs1', format: 'pem' }));
  writeFileSync(at('rsa.pem'), publicKey.export({ type: 'spki', format: 'pem' }));
  const made = await jwt('provisioning', at('rsa.jwt'), at('rsa.key'), '--token', 's3', '--srv', 'example.net', '--no-default');
  expect([made.code, made.err]).toEqual([0, expect.stringContaining('--no-default')]);
  expect(await jwt('view', at('rsa.jwt'), '--verify', at('rsa.pem'))).toMatchObject({ code: 0 });
  expect(await jwt('view', at('rsa.jwt'), '--verify', at('public'))).toMatchObject({
    code: 1,
    out: expect.stringMatching(/Not good: the token is not signed by EdDSA/),
  });
});

describe('what can not be', () => {
  const urls = ['--urls', 'b.test:4222'];
  test.each([
    ['two targets', [...urls, '--srv', 'x.test', '--token', 's'], /chu.* and .*chsrv/],
    ['no target', ['--token', 's'], /neither/],
    ['a broker without a port', ['--urls', 'b.test', '--token', 's'], /host:port/],
    ['no secret', urls, /--token/],
    ['extensions that are no object', [...urls, '--token', 's', '--extensions', '[1]'], /--extensions/],
    ['no duration', [...urls, '--token', 's', '--validity', 'soon'], /--validity/],
  ])('%s', async (_what, flags, message) => {
    const { code, err } = await jwt('provisioning', at('no.jwt'), at('seed'), ...flags);
    expect([code, err.trimEnd().split('\n')]).toEqual([1, [expect.stringMatching(message)]]);
  });

  test('a file that is no token, or not there', async () => {
    expect(await jwt('view', at('seed'))).toMatchObject({ code: 1, err: expect.stringContaining('no JSON Web Token') });
    expect(await jwt('view', at('absent'))).toMatchObject({ code: 1, err: expect.stringContaining('can not be read') });
    expect(await jwt('provisioning', at('no.jwt'), at('absent'), ...urls, '--token', 's')).toMatchObject({ code: 1 });
  });
});
