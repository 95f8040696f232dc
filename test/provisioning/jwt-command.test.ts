// `muster jwt`: keys, tokens, and what a token says.

import { execFile } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { readVerificationKey } from '../../plugins/wire/tokens/jwt.ts';
import { verifyProvisioningToken } from '../../plugins/wire/tokens/provisioning.ts';
import { runMuster } from '../support/command.ts';
import { temporaryFolder } from '../support/folders.ts';

let folder: string;
let remove: () => void;
const at = (name: string) => join(folder, name);
const jwt = (...args: string[]) => runMuster(['jwt', ...args]);
const modeOf = (name: string) => (statSync(at(name)).mode & 0o777).toString(8);

beforeAll(async () => {
  ({ path: folder, remove } = temporaryFolder());
  expect((await jwt('keys', at('seed'), at('public'))).code).toBe(0);
});
afterAll(() => remove());

test('keys are 64 hex digits and nothing else, for their owner alone, and are not replaced unasked', async () => {
  const seed = readFileSync(at('seed'), 'utf8');
  for (const name of ['seed', 'public']) {
    expect(readFileSync(at(name), 'utf8')).toMatch(/^[0-9a-f]{64}$/);
    expect(modeOf(name)).toBe('600');
  }
  expect(await jwt('keys', at('seed'), at('public'))).toMatchObject({ code: 1, err: expect.stringContaining('--force') });
  expect(readFileSync(at('seed'), 'utf8')).toBe(seed);
});

test('a secret may be piped in, so that no list of processes shows it', async () => {
  const main = join(distributionRoot(), 'core/cli/main.js');
  const command = `printf 'piped\\nmore' | '${process.execPath}' '${main}' jwt provisioning '${at('piped.jwt')}' '${at('seed')}' --urls b1.test:4222`;
  await promisify(execFile)('sh', ['-c', command]);
  const claims = await verifyProvisioningToken(readFileSync(at('piped.jwt'), 'utf8'), readVerificationKey(at('public')));
  expect(claims.cht).toBe('piped');
});

test('a token has every claim that a flag gives, and tells no secret unless it is asked', async () => {
  const made = await jwt(
    ...['provisioning', at('p.jwt'), at('seed'), '--token', 's3cret', '--urls', 'b1.test:4222,b2.test:4222', '--org', 'acme'],
    ...[
      '--registration',
      '/r.json',
      '--facts',
      '/f.json',
      '--username',
      'node',
      '--password',
      'n0de',
      '--update',
      '--protocol-v2',
    ],
    ...['--extensions', '{"dc":"mla"}', '--target', 'cloud', '--validity', '2h'],
  );
  expect([made.code, made.out]).toEqual([0, expect.stringContaining('is a provisioning token until')]);
  expect(modeOf('p.jwt')).toBe('600');
  const claims = await verifyProvisioningToken(readFileSync(at('p.jwt'), 'utf8'), readVerificationKey(at('public')));
  expect(claims).toMatchObject({
    cht: 's3cret',
    chs: false,
    chpd: true,
    chu: 'b1.test:4222,b2.test:4222',
    chrd: '/r.json',
    chf: '/f.json',
    chusr: 'node',
    chpwd: 'n0de',
    update: true,
    v2: true,
    ou: 'acme',
    extensions: { dc: 'mla', muster: { target: 'cloud' } },
  });
  expect((claims.exp ?? 0) - (claims.iat ?? 0)).toBe(7_200);

  const shown = await jwt('view', at('p.jwt'), '--verify', at('public'));
  expect([shown.code, shown.out]).toEqual([0, expect.stringContaining('Signed by this key, and good now')]);
  expect(shown.out + made.out + made.err).not.toMatch(/s3cret|n0de/);
  const json = JSON.parse((await jwt('view', at('p.jwt'), '--json')).out);
  expect(json).toMatchObject({ verified: false, claims: { cht: '********', chpwd: '********', ou: 'acme' } });
  expect((await jwt('view', at('p.jwt'), '--show-secrets')).out).toContain('s3cret');
});
