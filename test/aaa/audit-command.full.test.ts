// `muster audit verify` as an operator runs it.

import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ChainFile } from '../../plugins/audit/chain-file.ts';
import { publicHex } from '../../plugins/wire/tokens/ed25519.ts';
import { runMuster } from '../support/command.ts';
import { temporaryFolder } from '../support/folders.ts';

const { path: folder, remove } = temporaryFolder();
const { privateKey: key, publicKey } = generateKeyPairSync('ed25519');
const file = join(folder, 'audit.chain');

beforeAll(async () => {
  writeFileSync(join(folder, 'chain.public'), publicHex(publicKey));
  const chain = await ChainFile.open({ file, key, maxBytes: 0 });
  for (let n = 1; n <= 3; n += 1)
    await chain.append([{ protocol: 'io.choria.signer.v1.signature_audit', callerid: `up=user${n}`, n }]);
  await chain.close();
});
afterAll(() => remove());

const verify = (...args: string[]) => runMuster(['audit', 'verify', ...args]);

test('a chain that nobody touched', async () => {
  expect(await verify(file, '--key', join(folder, 'chain.public'))).toEqual({
    code: 0,
    out: expect.stringMatching(
      /^3 records in 1 file, as they were written; 2 checkpoints signed\.\nIts last entry is 5:[0-9a-f]{64}; kept elsewhere, /,
    ),
    err: '',
  });
  expect((await verify(file)).out).toContain(
    `Signed by ${publicHex(publicKey)}; whether that is the right key, tell with --key.`,
  );
});

test('a record that somebody altered', async () => {
  const altered = join(folder, 'altered.chain');
  writeFileSync(altered, readFileSync(file, 'utf8').replace('up=user2', 'up=user9'));
  const { code, out } = await verify(altered);
  expect(code).toBe(1);
  expect(out).toMatch(/^Not as it was written \(altered\): entry 3 \(.*altered\.chain:3\) was altered\./);
  expect(JSON.parse((await verify(altered, '--json')).out)).toMatchObject({ ok: false, problem: { kind: 'altered' } });
});

test('a chain is held to what was said of it before', async () => {
  const before = join(folder, 'before.json');
  writeFileSync(before, (await verify(file, '--json')).out);
  expect(await verify(file, '--anchor', before)).toMatchObject({ code: 0 });
  const [anchor = ''] = /5:[0-9a-f]{64}/.exec((await verify(file)).out) ?? [];
  expect(await verify(file, '--anchor', anchor)).toMatchObject({ code: 0 });
  const later = await verify(file, '--anchor', anchor.replace('5:', '6:'));
  expect(later).toMatchObject({ code: 1, out: expect.stringContaining('the chain ends at entry 5, and was at entry 6 before') });
  expect(await verify(file, '--anchor', 'abc')).toMatchObject({
    code: 1,
    err: expect.stringContaining('--anchor: abc is neither NUMBER:HASH nor a file'),
  });
});

test('what is no chain, or not there', async () => {
  const log = join(folder, 'audit.log');
  writeFileSync(log, '{"protocol":"io.choria.signer.v1.signature_audit"}\n');
  expect(await verify(log)).toMatchObject({ code: 1, err: expect.stringContaining('holds records without a chain') });
  expect(await verify(join(folder, 'none'))).toMatchObject({ code: 1, err: expect.stringContaining('there is no file') });
  expect(await verify(file, '--key', 'abc')).toMatchObject({
    code: 1,
    err: expect.stringContaining('neither a key of 64 hex digits'),
  });
});
