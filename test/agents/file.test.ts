// The agent `file` on a real file system, asked through a real node.

import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { testBundle } from '../../core/conformance/kit.ts';
import { distributionRoot } from '../../core/host/distribution.ts';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { temporaryFolder } from '../support/folders.ts';
import { needs } from '../support/languages.ts';

const { path: folder, remove } = temporaryFolder();
const readable = join(folder, 'readable');
const writable = join(folder, 'writable');
const outside = join(folder, 'outside');
const maxPart = 512 * 1024;
let fleet: Fleet;
let client: TestClient;

beforeAll(async () => {
  needs('cargo');
  for (const path of [readable, writable, outside, join(readable, 'sub'), `${readable}-too`]) mkdirSync(path);
  writeFileSync(join(outside, 'secret'), 'nobody is to see this');
  writeFileSync(join(`${readable}-too`, 'secret'), 'nor this');
  fleet = await Fleet.start();
  await fleet.node('files.test', {
    config: { 'plugin.file.allowed': readable, 'plugin.file.writable': writable },
  });
  await fleet.node('closed.test');
  client = await fleet.client();
});
afterAll(async () => {
  await fleet.stop();
  remove();
});

interface Reply {
  readonly statuscode: number;
  readonly statusmsg: string;
  readonly data: Readonly<Record<string, unknown>>;
}
const ask = async (action: string, data: Readonly<Record<string, unknown>>, node = 'files.test') =>
  (await client.ask(node, 'file', action, data, { timeoutMs: 20_000 })) as Reply;
const ok = async (action: string, data: Readonly<Record<string, unknown>>) => {
  const reply = await ask(action, data);
  expect([reply.statuscode, reply.statusmsg]).toEqual([0, 'OK']);
  return reply.data;
};
const sha256 = (content: Buffer | string) => createHash('sha256').update(content).digest('hex');
const base64 = (content: Buffer | string) => Buffer.from(content).toString('base64');

test('is built, and passes the conformance kit', async () => {
  const outcomes = await testBundle(fleet.runtime, join(distributionRoot(), 'agents/file'));
  expect(outcomes.filter(({ passed }) => !passed)).toEqual([]);
});

describe('reading', () => {
  test.each(['md5', 'sha1', 'sha256', 'sha512'])('tells the %s of a file, as node:crypto knows it', async (type) => {
    const content = randomBytes(700_000);
    const file = join(readable, 'sub', `to-${type}`);
    writeFileSync(file, content);
    const checksum = createHash(type).update(content).digest('hex');
    expect(await ok('checksum', { file, type })).toEqual({ file, type, checksum, size: 700_000 });
  });

  test('tells the status of files, folders and links, by the names of filemgr', async () => {
    const file = join(readable, 'known');
    writeFileSync(file, 'known');
    chmodSync(file, 0o640);
    utimesSync(file, 1_600_000_000, 1_600_000_123);
    const { uid, gid } = statSync(file);
    expect(await ok('status', { file })).toMatchObject({
      name: file,
      output: 'present',
      present: 1,
      type: 'file',
      size: 5,
      mode: '100640',
      uid,
      gid,
      md5: createHash('md5').update('known').digest('hex'),
      mtime: '2020-09-13T12:28:43Z',
      mtime_seconds: 1_600_000_123,
      atime_seconds: 1_600_000_000,
    });
    symlinkSync(join(outside, 'secret'), join(readable, 'link'));
    expect(await ok('status', { file: join(readable, 'link') })).toMatchObject({ present: 1, type: 'symlink' });
    mkdirSync(join(readable, 'listed'));
    writeFileSync(join(readable, 'listed/b'), '');
    writeFileSync(join(readable, 'listed/a'), '');
    const listed = await ok('status', { file: join(readable, 'listed'), dirlist: true });
    expect(listed).toMatchObject({ type: 'directory', dir_listing: ['a', 'b'] });
    expect(await ok('status', { file: join(readable, 'absent') })).toMatchObject({ present: 0, output: 'not present' });
  });

  test('fetches a file in parts, each with its checksum', async () => {
    const content = randomBytes(2 * maxPart + 321);
    const file = join(readable, 'large');
    writeFileSync(file, content);
    const parts: Buffer[] = [];
    for (let offset = 0, done = false; !done; ) {
      const part = await ok('fetch', { file, offset });
      const bytes = Buffer.from(String(part.content), 'base64');
      expect(part).toMatchObject({ size: content.length, length: bytes.length, sha256: sha256(bytes) });
      parts.push(bytes);
      offset += bytes.length;
      done = part.done === true;
    }
    expect(parts.map(({ length }) => length)).toEqual([maxPart, maxPart, 321]);
    expect(Buffer.concat(parts).equals(content)).toBe(true);
    expect(await ok('fetch', { file, offset: 10 ** 12 })).toMatchObject({ length: 0, content: '', done: true });
    expect(await ask('fetch', { file, length: maxPart + 1 })).toMatchObject({
      statuscode: 4,
      statusmsg: 'input length must be at most 524288, not 524289',
    });
  });
});

describe('writing', () => {
  /** Sends one part. */
  const put = (file: string, whole: Buffer, offset: number, length: number, more: object = {}) =>
    ask('put', {
      file,
      offset,
      size: whole.length,
      sha256: sha256(whole),
      content: base64(whole.subarray(offset, offset + length)),
      ...more,
    });

  test('puts a file in its place when all parts are there, and not before', async () => {
    const file = join(writable, 'app.bin');
    writeFileSync(file, 'the one before');
    chmodSync(file, 0o751);
    const whole = randomBytes(maxPart + 1000);
    expect(await put(file, whole, 0, maxPart)).toMatchObject({ statuscode: 0, data: { received: maxPart, done: false } });
    expect(readFileSync(file, 'utf8')).toBe('the one before');
    expect(await put(file, whole, maxPart, 1000)).toMatchObject({ data: { received: whole.length, done: true } });
    expect(readFileSync(file).equals(whole)).toBe(true);
    expect(statSync(file).mode & 0o7777).toBe(0o751);
    expect(readdirSync(writable).filter((name) => name.endsWith('.part'))).toEqual([]);
    // Sent again by somebody who did not hear the answer.
    expect(await put(file, whole, maxPart, 1000)).toMatchObject({ data: { received: whole.length, done: true } });
  });

  test('goes on where it stopped, and tells where that is', async () => {
    const file = join(writable, 'resumed');
    const whole = randomBytes(3000);
    await put(file, whole, 0, 1000);
    expect(await put(file, whole, 0, 0)).toMatchObject({ statuscode: 0, data: { received: 1000, done: false } });
    const ahead = await put(file, whole, 2000, 1000);
    expect(ahead).toMatchObject({ statuscode: 4, data: { received: 1000, done: false } });
    expect(ahead.statusmsg).toBe('1000 bytes are here, so the next part begins at 1000, not at 2000');
    await put(file, whole, 500, 1500);
    expect(existsSync(file)).toBe(false);
    expect(await put(file, whole, 2000, 1000, { mode: '0644' })).toMatchObject({ data: { done: true } });
    expect(readFileSync(file).equals(whole)).toBe(true);
    expect(statSync(file).mode & 0o7777).toBe(0o644);
  });

  test('never puts what has another checksum in the place of a file', async () => {
    const file = join(writable, 'kept');
    writeFileSync(file, 'as it was');
    const announced = sha256('what was meant');
    const reply = await ask('put', { file, size: 14, sha256: announced, content: base64('what was sent!') });
    expect(reply.statuscode).toBe(4);
    expect(reply.statusmsg).toContain(`not ${announced}; ${file} is as it was`);
    expect(readFileSync(file, 'utf8')).toBe('as it was');
    // The parts are gone, so the next attempt begins anew.
    const whole = Buffer.from('what was meant');
    expect(await put(file, whole, 0, 14)).toMatchObject({ data: { done: true } });
    expect(readFileSync(file, 'utf8')).toBe('what was meant');
  });

  test('writes an empty file, for its owner alone', async () => {
    const file = join(writable, 'empty');
    expect(await put(file, Buffer.alloc(0), 0, 0)).toMatchObject({ data: { received: 0, done: true } });
    expect([statSync(file).size, statSync(file).mode & 0o7777]).toEqual([0, 0o600]);
  });

  test('twenty at once leave one whole file', async () => {
    const file = join(writable, 'contended');
    const wholes = Array.from({ length: 20 }, () => randomBytes(5000));
    const replies = await Promise.all(wholes.map((whole) => put(file, whole, 0, 5000)));
    expect(replies.map(({ data }) => data.done)).toEqual(wholes.map(() => true));
    expect(wholes.some((whole) => readFileSync(file).equals(whole))).toBe(true);
  });

  test('touches and removes', async () => {
    const file = join(writable, 'touched');
    await ok('touch', { file });
    expect(statSync(file).size).toBe(0);
    utimesSync(file, 1, 1);
    await ok('touch', { file });
    expect(statSync(file).mtimeMs).toBeGreaterThan(Date.now() - 60_000);
    await ok('remove', { file });
    expect(existsSync(file)).toBe(false);
    expect(await ask('remove', { file })).toMatchObject({ statuscode: 1, statusmsg: `${file}: there is no such file` });
  });

  test.each([
    ['more than was announced', { size: 1, content: base64('12') }, 'input content goes beyond the size of 1 bytes'],
    [
      'an offset beyond all numbers',
      { offset: Number.MAX_SAFE_INTEGER, size: 5, content: '' },
      'goes beyond the size of 5 bytes',
    ],
    ['a negative offset', { offset: -1, size: 5, content: '' }, 'input offset'],
    ['what is no base64', { size: 5, content: 'abc' }, 'input content: no base64'],
    ['a mode with more than permissions', { size: 0, content: '', mode: '4755' }, 'input mode must be octal, 0000 to 0777'],
  ])('refuses %s', async (_what, data, message) => {
    const file = join(writable, 'refused');
    const reply = await ask('put', { file, sha256: sha256(''), ...data });
    expect(reply).toMatchObject({ statuscode: 4, statusmsg: expect.stringContaining(message) });
    expect(existsSync(file)).toBe(false);
  });
});

describe('stays where it may be', () => {
  const content = { size: 0, sha256: sha256(''), content: '' };

  test('touches nothing until it is configured', async () => {
    const read = await ask('checksum', { file: '/etc/passwd' }, 'closed.test');
    expect(read).toMatchObject({ statuscode: 1 });
    expect(read.statusmsg).toBe('/etc/passwd may not be read here; no folder of plugin.file.allowed holds it');
    const written = await ask('touch', { file: '/tmp/x' }, 'closed.test');
    expect(written.statusmsg).toBe('/tmp/x may not be changed here; no folder of plugin.file.writable holds it');
  });

  test('reading is no leave to write', async () => {
    const file = join(readable, 'read-only');
    writeFileSync(file, 'x');
    for (const [action, data] of [
      ['touch', {}],
      ['remove', {}],
      ['put', content],
    ] as const)
      expect((await ask(action, { file, ...data })).statusmsg).toContain('may not be changed here');
    expect(readFileSync(file, 'utf8')).toBe('x');
  });

  test.each([
    ['a path outside', () => join(outside, 'secret'), 'may not be read here'],
    ['a folder that only begins alike', () => join(`${readable}-too`, 'secret'), 'may not be read here'],
    ['a way up', () => `${readable}/sub/../../outside/secret`, "must not have '..' in it"],
    ['a way up at the end', () => `${readable}/..`, "must not have '..' in it"],
    ['a relative path', () => 'outside/secret', 'validation failed'],
    ['a zero byte', () => `${readable}/known\0/../../outside/secret`, "must not have '..' in it"],
    ['the folder itself', () => readable, 'may not be read here'],
    ['the root', () => '/', 'may not be read here'],
  ])('refuses %s', async (_what, path, message) => {
    for (const action of ['checksum', 'fetch', 'status']) {
      const reply = await ask(action, { file: path() });
      expect(reply.statuscode).toBeGreaterThan(0);
      expect(reply.statusmsg).toContain(message);
      expect(JSON.stringify(reply.data)).not.toContain(base64('nobody is to see'));
    }
  });

  test('follows no link: neither the file nor a folder on the way', async () => {
    symlinkSync(join(outside, 'secret'), join(readable, 'to-file'));
    symlinkSync(outside, join(readable, 'to-folder'));
    const last = await ask('fetch', { file: join(readable, 'to-file') });
    expect(last).toMatchObject({ statuscode: 1, statusmsg: expect.stringContaining('symbolic links are not followed') });
    for (const action of ['fetch', 'status', 'checksum']) {
      const onTheWay = await ask(action, { file: join(readable, 'to-folder/secret') });
      expect(onTheWay).toMatchObject({ statuscode: 1, statusmsg: expect.stringContaining('a symbolic link on the way') });
    }
    symlinkSync(outside, join(writable, 'to-folder'));
    for (const [action, data] of [
      ['touch', {}],
      ['remove', {}],
      ['put', content],
    ] as const)
      expect(await ask(action, { file: join(writable, 'to-folder/secret'), ...data })).toMatchObject({ statuscode: 1 });
    expect(readdirSync(outside)).toEqual(['secret']);
    expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe('nobody is to see this');
  });

  test('a link that stands where a file is to be put or touched is left alone; removing takes the link', async () => {
    const file = join(writable, 'link');
    symlinkSync(join(outside, 'made'), file);
    expect(await ask('put', { file, ...content })).toMatchObject({ statuscode: 1 });
    expect(await ask('touch', { file })).toMatchObject({ statuscode: 1 });
    expect(lstatSync(file).isSymbolicLink()).toBe(true);
    await ok('remove', { file });
    expect(readdirSync(outside)).toEqual(['secret']);
  });

  test('a link or a hard link laid where parts are gathered is not written through', async () => {
    const whole = Buffer.from('hostile');
    const part = (name: string) => join(writable, `.${name}.${sha256(whole).slice(0, 16)}.part`);
    symlinkSync(join(outside, 'secret'), part('linked'));
    linkSync(join(outside, 'secret'), part('hard'));
    for (const name of ['linked', 'hard']) {
      const data = { file: join(writable, name), size: whole.length, sha256: sha256(whole), content: base64(whole) };
      expect(await ask('put', data)).toMatchObject({ statuscode: 1 });
      expect(existsSync(join(writable, name))).toBe(false);
    }
    expect(readFileSync(join(outside, 'secret'), 'utf8')).toBe('nobody is to see this');
  });

  test('a pipe is not waited for, a folder not removed', async () => {
    execFileSync('mkfifo', [join(readable, 'pipe'), join(writable, 'pipe')]);
    expect(await ask('fetch', { file: join(readable, 'pipe') })).toMatchObject({
      statuscode: 1,
      statusmsg: `${join(readable, 'pipe')} is no ordinary file`,
    });
    expect(await ok('status', { file: join(readable, 'pipe') })).toMatchObject({ type: 'fifo' });
    expect(await ask('put', { file: join(writable, 'pipe'), ...content })).toMatchObject({ statuscode: 1 });
    mkdirSync(join(writable, 'folder'));
    expect(await ask('remove', { file: join(writable, 'folder') })).toMatchObject({ statuscode: 1 });
    expect(existsSync(join(writable, 'folder'))).toBe(true);
  });
});
