// Log files of records: their forms, and files that are put aside or taken away.

import { appendFileSync, existsSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { temporaryFolder } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';

let folder: ReturnType<typeof temporaryFolder>;
let host: TestHost | undefined;
let log: string;

beforeEach(() => {
  folder = temporaryFolder();
  log = join(folder.path, 'audit.log');
});
afterEach(async () => {
  await host?.stop();
  folder.remove();
});

async function auditor(section: object, name = 'logfile'): Promise<TestHost> {
  const file = join(folder.path, 'aaa.json');
  writeFileSync(file, JSON.stringify({ [`${name}_auditor`]: section }));
  host = await startHost({ distribution: true, config: { 'plugin.aaa.config': file } });
  return host;
}

const record = (n: number) => ({
  protocol: 'io.choria.signer.v1.signature_audit',
  callerid: `up=%s${n}`,
  action: 'allow',
  site: 'mla1',
  time: 1_700_000_000 + n,
  request: { protocol: 'choria:request:1', n },
});
const keep = (to: TestHost, ...records: object[]) => to.host.call('auditor', 'logfile', 'auditor/record', { records });
const read = (file: string) =>
  readFileSync(file, 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));

test('a line is the record as it came, in a file for its owner alone', async () => {
  const to = await auditor({ logfile: log });
  expect(await keep(to, record(1), record(2))).toEqual({ written: 2 });
  expect(read(log)).toEqual([record(1), record(2)]);
  expect(statSync(log).mode & 0o777).toBe(0o600);
});

test('or as Choria writes it', async () => {
  await keep(await auditor({ logfile: log, format: 'choria' }), record(1));
  expect(read(log)).toEqual([
    {
      auditor: 'logfile',
      site: 'mla1',
      caller: 'up=%s1',
      action: 'allow',
      level: 'info',
      msg: '{"protocol":"choria:request:1","n":1}',
      time: '2023-11-14T22:13:21Z',
    },
  ]);
});

test('a file that is moved away is left behind, half a line is ended', async () => {
  const to = await auditor({ logfile: log });
  await keep(to, record(1));
  renameSync(log, `${log}.old`);
  await keep(to, record(2));
  expect(read(`${log}.old`)).toEqual([record(1)]);
  expect(read(log)).toEqual([record(2)]);
  await host?.stop();
  appendFileSync(log, '{"half');
  await keep(await auditor({ logfile: log }), record(3));
  expect(readFileSync(log, 'utf8').split('\n')).toEqual([JSON.stringify(record(2)), '{"half', JSON.stringify(record(3)), '']);
});

test('a full file is put aside, and the oldest ends', async () => {
  const to = await auditor({ logfile: log, max_size: 300, keep: 2 });
  for (let n = 1; n <= 9; n += 1) await keep(to, record(n));
  expect(readdirSync(folder.path).filter((name) => name.startsWith('audit'))).toEqual([
    'audit.log',
    'audit.log.1',
    'audit.log.2',
  ]);
  const all = ['.2', '.1', ''].flatMap((end) => read(`${log}${end}`));
  expect(all).toEqual([4, 5, 6, 7, 8, 9].slice(-all.length).map(record));
  expect(existsSync(`${log}.3`)).toBe(false);
});

test.each([
  ['logfile', {}, 'logfile_auditor.logfile is not set'],
  ['logfile', { logfile: '/none/audit.log' }, '/none/audit.log can not be written'],
  ['logfile', { logfile: 'x', format: 'xml' }, 'logfile_auditor.format must be record or choria'],
  ['logfile', { logfile: 'x', max_size: 'big' }, 'logfile_auditor.max_size must be a number of bytes'],
  ['jetstream', { topic: 'a' }, 'jetstream_auditor.servers is not set'],
  ['jetstream', { servers: 'nats://x', topic: 'a' }, "jetstream_auditor.servers: 'nats://x' is no broker such as"],
  ['jetstream', { servers: 'nats://x:4222', topic: 'a.>' }, "jetstream_auditor.topic 'a.>' is no subject without wildcards"],
  ['chain', { logfile: 'x', key: '/none' }, 'chain_auditor.key: there is no file /none; `muster jwt keys'],
])('%s with %j is told of', async (name, section, problem) => {
  const to = await auditor(section, name);
  const { problems } = (await to.host.call('auditor', name, 'auditor/check', {})) as { problems: string[] };
  expect(problems).toEqual([expect.stringContaining(problem)]);
});
