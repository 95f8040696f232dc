// The chain of records: what it shows of those who change it, and how it goes on after a crash.

import { createHash, generateKeyPairSync } from 'node:crypto';
import { appendFileSync, copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ChainFile } from '../../plugins/audit/chain-file.ts';
import { GroupLog } from '../../plugins/audit/group-log.ts';
import { verifyChain } from '../../plugins/audit/verify.ts';
import { publicHex } from '../../plugins/wire/tokens/ed25519.ts';
import { temporaryFolder } from '../support/folders.ts';

const { privateKey: key, publicKey } = generateKeyPairSync('ed25519');
const hexKey = publicHex(publicKey);
let folder: ReturnType<typeof temporaryFolder>;
let file: string;
/** Kept, since nobody closes them. */
const crashed: ChainFile[] = [];

beforeEach(() => {
  folder = temporaryFolder();
  file = `${folder.path}/audit.chain`;
});
afterEach(() => folder.remove());

const record = (n: number) => ({
  protocol: 'io.choria.signer.v1.signature_audit',
  callerid: `up=user${n}`,
  action: 'allow',
  time: n,
});
const lines = () => readFileSync(file, 'utf8').split('\n').slice(0, -1);
const write = (changed: readonly string[]) => writeFileSync(file, changed.map((line) => `${line}\n`).join(''));
const verify = (files: readonly string[] = [file]) => verifyChain(files, { key: hexKey });

/** Entries: a checkpoint, the records, a checkpoint in their midst, and one at the end. */
async function filled(records = 6): Promise<void> {
  const chain = await ChainFile.open({ file, key, maxBytes: 0 });
  for (let n = 1; n <= records; n += 1) {
    await chain.append([record(n)]);
    if (n === records / 2) await chain.checkpoint();
  }
  await chain.close();
}

test('a chain that nobody touched is as it was written', async () => {
  await filled();
  expect(await verify()).toMatchObject({ ok: true, entries: 9, records: 6, checkpoints: 3, unsigned: 0, notes: [] });
});

describe('what was changed is named', () => {
  const changes: readonly (readonly [what: string, change: (all: string[]) => string[], kind: string, message: RegExp])[] = [
    ['a record', (all) => all.map((line) => line.replace('up=user2"', 'up=user9"')), 'altered', /^entry 3 \(.*:3\) was altered$/],
    [
      'the last record',
      (all) => all.map((line) => line.replace('up=user6"', 'up=user9"')),
      'altered',
      /^entry 8 \(.*:8\) was altered$/,
    ],
    [
      'the hash in a record',
      (all) => all.with(4, (all[4] ?? '').replace(/"prev":"\w{6}/, '"prev":"000000')),
      'altered',
      /^entry 4 .* or entry 5 .* was altered$/,
    ],
    ['a record that is left out', (all) => all.toSpliced(2, 1), 'dropped', /^entry 3 is missing before .*:3/],
    ['several that are left out', (all) => all.toSpliced(2, 2), 'dropped', /^entries 3 to 4 are missing/],
    ['the first one', (all) => all.slice(1), 'dropped', /^entries 1 to 1 are missing/],
    [
      'two that changed places',
      ([a = '', b = '', c = '', ...rest]) => [a, c, b, ...rest],
      'moved',
      /^entry 2 was moved: it stands at .*:3$/,
    ],
    [
      'one that is there twice',
      ([a = '', b = '', ...rest]) => [a, b, b, ...rest],
      'moved',
      /^entry 2 .* stands where entry 3 should/,
    ],
    ['the last one', (all) => all.slice(0, -1), 'cut', /^entries 9 to 9 were cut off at the end, after entry 8/],
    ['the last ones', (all) => all.slice(0, -4), 'cut', /^entries 6 to 9 were cut off at the end/],
    ['a line that is none', (all) => all.with(3, 'nothing'), 'altered', /^entry 4 .* is no entry of a chain/],
    ['half a line', (all) => [...all.slice(0, -1), String(all.at(-1)).slice(0, 30)], 'altered', /^entry 9/],
    [
      'a checkpoint',
      (all) => all.map((line) => line.replace('"reason":"stop"', '"reason":"interval"')),
      'altered',
      /^the checkpoint at entry 9/,
    ],
  ];
  test.each(changes)('%s', async (_what, change, kind, message) => {
    await filled();
    write(change(lines()));
    const { ok, problem } = await verify();
    expect({ ok, kind: problem?.kind }).toEqual({ ok: false, kind });
    expect(problem?.message).toMatch(message);
  });

  test('a chain that somebody wrote anew with a key of his own', async () => {
    const other = await ChainFile.open({ file, key: generateKeyPairSync('ed25519').privateKey, maxBytes: 0 });
    await other.append([record(1)]);
    await other.close();
    expect((await verify()).problem?.message).toContain(`is not signed by ${hexKey.slice(0, 16)}`);
  });

  test('an end that was cut off together with what tells of it', async () => {
    await filled();
    write(lines().slice(0, -1));
    rmSync(`${file}.head`);
    expect((await verify()).problem).toMatchObject({ kind: 'cut' });
  });

  test('a record that somebody added at the end', async () => {
    await filled();
    const prev = createHash('sha256')
      .update(lines().at(-1) ?? '')
      .digest('hex');
    appendFileSync(file, `${JSON.stringify({ seq: 10, prev, record: record(7) })}\n`);
    const { ok, problem } = await verify();
    expect(ok).toBe(false);
    expect(problem?.message).toMatch(/^entries 10 to 10 came after the end that is signed/);
  });

  test('an end that was cut off up to a stop, together with what tells of it', async () => {
    await filled();
    const whole = lines();
    await filled();
    write(whole);
    rmSync(`${file}.head`);
    expect((await verify()).problem).toMatchObject({ kind: 'cut' });
  });

  test('a file of several', async () => {
    const chain = await ChainFile.open({ file, key, maxBytes: 600 });
    for (let n = 1; n <= 9; n += 1) await chain.append([record(n)]);
    await chain.close();
    expect(existsSync(`${file}.2`)).toBe(true);
    expect(await verify()).toMatchObject({ ok: true, records: 9 });
    rmSync(`${file}.2`);
    expect((await verify()).problem).toMatchObject({ kind: 'dropped' });
  });
});

describe('a place that is kept elsewhere', () => {
  const last = async () => (await verify()).last;
  const held = async (anchor: { seq: number; hash: string } | undefined, first?: number) =>
    verifyChain([file], { key: hexKey, anchor, first });
  const goOn = async () => {
    const chain = await ChainFile.open({ file, key, maxBytes: 0 });
    await chain.append([record(7)]);
    await chain.close();
  };

  test('is held by the chain as it was, and as it went on', async () => {
    await filled();
    const anchor = await last();
    expect(anchor?.seq).toBe(9);
    expect(await held(anchor)).toMatchObject({ ok: true });
    await goOn();
    expect(await held(anchor)).toMatchObject({ ok: true, last: { seq: 12 } });
  });

  test('is missed where files from before were put back', async () => {
    await filled();
    for (const name of [file, `${file}.head`]) copyFileSync(name, `${name}.before`);
    await goOn();
    const anchor = await last();
    for (const name of [file, `${file}.head`]) copyFileSync(`${name}.before`, name);
    expect(await verify()).toMatchObject({ ok: true });
    expect((await held(anchor)).problem).toEqual({
      kind: 'cut',
      message: 'the chain ends at entry 9, and was at entry 12 before: an older state of it was put back, or its end cut off',
    });
  });

  test('is missed where all was written anew with the key', async () => {
    await filled();
    const anchor = await last();
    for (const name of [file, `${file}.head`]) rmSync(name);
    await filled(8);
    expect(await verify()).toMatchObject({ ok: true });
    expect((await held(anchor)).problem).toMatchObject({
      kind: 'altered',
      message: expect.stringMatching(/^entry 9 is not the one/),
    });
  });

  test('counts for what follows it where those before were put away', async () => {
    await filled();
    const all = lines();
    const hashOf = (line = '') => createHash('sha256').update(line).digest('hex');
    const end = { seq: 9, hash: hashOf(all[8]) };
    write(all.slice(4));
    expect(await held(end, 5)).toMatchObject({ ok: true });
    expect(await held({ seq: 4, hash: hashOf(all[3]) }, 5)).toMatchObject({ ok: true });
    expect((await held({ seq: 4, hash: hashOf(all[2]) }, 5)).problem).toMatchObject({ kind: 'altered' });
    expect((await held({ seq: 3, hash: hashOf(all[2]) }, 5)).problem).toMatchObject({
      kind: 'dropped',
      message: expect.stringContaining('it begins at entry 5'),
    });
  });
});

describe('a chain goes on', () => {
  test('after a stop, and after a file that was moved away', async () => {
    await filled();
    const chain = await ChainFile.open({ file, key, maxBytes: 0 });
    await chain.append([record(7)]);
    copyFileSync(file, `${file}.1`);
    rmSync(file);
    await chain.append([record(8)]);
    await chain.close();
    expect(await verify()).toMatchObject({ ok: true, records: 8 });
  });

  test('after a crash that left half a line, which it takes off and tells of', async () => {
    const chain = await ChainFile.open({ file, key, maxBytes: 0 });
    crashed.push(chain);
    await chain.append([record(1)]);
    appendFileSync(file, '{"seq":3,"prev":"ab');
    const next = await ChainFile.open({ file, key, maxBytes: 0 });
    await next.append([record(2)]);
    await next.close();
    const verdict = await verify();
    expect(verdict).toMatchObject({ ok: true, records: 2 });
    expect(verdict.notes).toEqual([expect.stringContaining('a half-written line of 19 bytes was taken off')]);
  });

  test('where its end was cut off, and says for ever that it was', async () => {
    await filled();
    write(lines().slice(0, -3));
    const next = await ChainFile.open({ file, key, maxBytes: 0 });
    await next.append([record(7)]);
    await next.close();
    expect((await verify()).problem?.message).toMatch(
      /^entries 7 to 9 had been written and were cut off; the service found that/,
    );
  });

  /** As whoever has no key can write it: what no checkpoint vouches for yet has hashes that anybody can make. */
  const rewritten = (from: number, change: (line: string) => string) => {
    const all = lines().slice(0, from);
    for (const line of lines().slice(from)) {
      const prev = createHash('sha256')
        .update(all.at(-1) ?? '')
        .digest('hex');
      all.push(change(line).replace(/"prev":"[0-9a-f]{64}"/, `"prev":"${prev}"`));
    }
    write(all);
  };
  const afterCrash = async () => {
    const chain = await ChainFile.open({ file, key, maxBytes: 0 });
    crashed.push(chain);
    for (let n = 1; n <= 4; n += 1) await chain.append([record(n)]);
  };
  const restarted = async () => {
    const next = await ChainFile.open({ file, key, maxBytes: 0 });
    await next.append([record(9)]);
    await next.close();
    return verify();
  };

  test('after a crash, and tells of records that were rewritten before it started again', async () => {
    await afterCrash();
    rewritten(2, (line) => line.replace('up=user2"', 'up=nobody"'));
    expect(await restarted()).toMatchObject({ ok: false, problem: { kind: 'altered' } });
  });

  test('after a crash, and tells of records that were rewritten with more behind them', async () => {
    await afterCrash();
    const extra = JSON.stringify({ seq: 6, prev: '0'.repeat(64), record: record(5) });
    appendFileSync(file, `${extra}\n`);
    rewritten(2, (line) => line.replace('up=user2"', 'up=nobody"'));
    expect(await restarted()).toMatchObject({ ok: false, problem: { kind: 'altered' } });
  });

  test('after a crash, and notes entries after the end that was signed', async () => {
    await afterCrash();
    appendFileSync(file, `${JSON.stringify({ seq: 6, prev: '0'.repeat(64), record: record(5) })}\n`);
    rewritten(5, (line) => line);
    const verdict = await restarted();
    expect(verdict).toMatchObject({ ok: true, notes: [expect.stringContaining('entries after the signed end 5')] });
  });

  test('where what tells of its end is gone, and says for ever that it was', async () => {
    await afterCrash();
    write(lines().slice(0, -2));
    rmSync(`${file}.head`);
    expect(await restarted()).toMatchObject({ ok: false, problem: { kind: 'cut' } });
  });

  test('after a write that failed, as if it had not been tried', async () => {
    let fails = false;
    const sync = async () => {
      if (fails) throw new Error('ENOSPC: no space left on device');
    };
    const chain = await ChainFile.open({ file, key, maxBytes: 0, sync });
    await chain.append([record(1)]);
    fails = true;
    await expect(chain.append([record(2)])).rejects.toThrow('no space left');
    fails = false;
    await chain.append([record(3)]);
    await chain.close();
    expect(await verify()).toMatchObject({ ok: true, records: 2 });
  });
});

test('records of many callers share a flush that takes two milliseconds', async () => {
  let flushes = 0;
  const sync = async () => {
    flushes += 1;
    await sleep(2);
  };
  const log = new GroupLog<number>({
    file: `${folder.path}/audit.log`,
    render: (entries) => entries.map((n) => `${n}\n`).join(''),
    rotatedName: async (name) => `${name}.1`,
    sync,
  });
  const inFlight = 64;
  const each = 20;
  const callers = Array.from({ length: inFlight }, async (_, caller) => {
    for (let n = 0; n < each; n += 1) await log.append([caller * each + n]);
  });
  await Promise.all(callers);
  await log.close();
  const written = readFileSync(`${folder.path}/audit.log`, 'utf8').trim().split('\n');
  expect(new Set(written).size).toBe(inFlight * each);
  expect(flushes).toBeLessThan((inFlight * each) / 10);
});
