// Data plugins: what a node can be asked about itself, in any language.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv } from 'ajv';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { temporaryFolder, until, writeBundle } from '../support/folders.ts';
import type { TestHost } from '../support/hosts.ts';

const { path: bundles, remove } = temporaryFolder();
let fleet: Fleet;
let node: TestHost;
let client: TestClient;

const ddl = (name: string, query: object | null, timeout = 20) =>
  JSON.stringify({
    metadata: { name, description: name, author: 'x', license: 'x', version: '1.0.0', url: 'https://example.org', timeout },
    query,
    output: { size: { description: 'Size', display_as: 'Size', type: 'integer' } },
  });
const anyText = { prompt: 'Path', description: 'Path', type: 'string', optional: false, validation: '^/', maxlength: 100 };
const manifest = (name: string, rest: string, also = '') =>
  `bundle: ${name}\nversion: 1.0.0\nplugins:\n  - { kind: data, name: ${name}, ${rest}, resources: { ddl: ./ddl.${also || 'json'} } }\n`;

beforeAll(async () => {
  writeBundle(bundles, 'file_size', manifest('file_size', 'runner: persistent, command: [python3, ./data.py]'), {
    'ddl.json': ddl('file_size', anyText),
    'data.py': `import os
from muster_plugin import Plugin
plugin = Plugin(version="1.0.0")
asked = 0

@plugin.method("data/get")
def get(params, call):
    global asked
    asked += 1
    path = params["query"]
    return {"data": {"size": os.path.getsize(path), "asked": asked} if os.path.exists(path) else None}

plugin.run()
`,
  });
  writeBundle(bundles, 'sleepy', manifest('sleepy', 'runner: oneshot, command: [sleep, "30"]'), {
    'ddl.json': ddl('sleepy', null, 2),
  });
  writeBundle(
    bundles,
    'broken_data',
    manifest('broken_data', 'runner: oneshot, command: [sh, -c, "echo the sensor is gone >&2; exit 1"]'),
    { 'ddl.json': ddl('broken_data', null) },
  );
  writeBundle(bundles, 'in_yaml', manifest('in_yaml', `runner: oneshot, command: [echo, '{"data":{"size":7}}']`, 'yaml'), {
    'ddl.yaml':
      'metadata: { name: in_yaml, description: d, author: x, license: x, version: 1.0.0, url: "https://example.org", timeout: 20 }\nquery: null\noutput:\n  size: { description: Size, display_as: Size, type: integer }\n',
  });
  writeBundle(
    bundles,
    'no_ddl',
    'bundle: no_ddl\nversion: 1.0.0\nplugins:\n  - { kind: data, name: no_ddl, runner: oneshot, command: [cat] }\n',
  );
  fleet = await Fleet.start();
  node = await fleet.node('data.test', { watched: [bundles], classes: ['red'] });
  client = await fleet.client();
  // The action has two seconds, which is little for a first start on a busy machine.
  for (const [source, query] of [['file_size', '/etc/passwd'], ['in_yaml']] as const)
    await until(`${source} answers`, async () => (await ask(source, query)).statuscode === 0);
});
afterAll(async () => {
  await fleet.stop();
  remove();
});

const ask = (source: string, query?: string) =>
  client.ask('data.test', 'rpcutil', 'get_data', { source, ...(query !== undefined && { query }) });

test('a data plugin in Python tells what it measures, flat', async () => {
  const file = join(fleet.folder, 'ca/ca.pem');
  expect(await ask('file_size', file)).toMatchObject({ statuscode: 0, data: { size: readFileSync(file).length } });
});

test('nothing of the kind is null', async () => {
  expect(await ask('file_size', '/no/such/file')).toMatchObject({ statuscode: 0 });
});

test('an answer counts for a moment, for each query', async () => {
  const asked = async (path: string) => ((await ask('file_size', path)).data as { asked: number }).asked;
  const kept = await until('the second is told what the first was', async () => {
    const [first, second] = [await asked('/etc/group'), await asked('/etc/group')];
    return first === second ? first : undefined;
  });
  expect(await asked('/etc/hosts')).toBe(kept + 1);
});

test('a DDL may be written in YAML', async () => {
  expect((await ask('in_yaml')).data).toEqual({ size: 7 });
});

describe('what can not be told is answered with a reason', () => {
  test.each([
    ['no_such', undefined, 'Unknown data plugin'],
    ['no_ddl', undefined, 'Unknown data plugin'],
    ['file_size', undefined, "input 'query' is required"],
    ['file_size', 'relative', "input does not match '^/'"],
    ['in_yaml', 'more', 'the data plugin in_yaml takes no query'],
    ['broken_data', undefined, 'the sensor is gone'],
  ])('%s %s', async (source, query, reason) => {
    expect(await ask(source, query)).toMatchObject({ statuscode: 1, statusmsg: expect.stringContaining(reason) });
  });

  test('one that takes too long', async () => {
    const { statuscode, statusmsg } = await client.ask(
      'data.test',
      'rpcutil',
      'get_data',
      { source: 'sleepy' },
      { timeoutMs: 8_000 },
    );
    expect([statuscode, statusmsg]).toEqual([1, expect.stringMatching(/in time|did not answer within 2 s/)]);
  });
});

test('those that are there are in the inventory; one without a DDL is named in the log', async () => {
  const { data } = await client.ask('data.test', 'rpcutil', 'inventory');
  expect((data as { data_plugins: string[] }).data_plugins).toEqual([
    'broken_data',
    'choria',
    'config_item',
    'file_size',
    'in_yaml',
    'sleepy',
  ]);
  expect(node.log.some(({ message }) => message.startsWith('data/no_ddl of the bundle no_ddl hands out no DDL'))).toBe(true);
});

test('one that is dropped in is there a second later', async () => {
  writeBundle(bundles, 'fresh_data', manifest('fresh_data', `runner: oneshot, command: [echo, '{"data":{"size":1}}']`), {
    'ddl.json': ddl('fresh_data', null),
  });
  await until('it answers', async () => (await ask('fresh_data')).statuscode === 0);
});

test('the node tells of itself: choria and config_item', async () => {
  expect((await ask('choria')).data).toMatchObject({
    classes: ['red'],
    classes_count: 1,
    connected_broker: `nats://127.0.0.1:${fleet.port}`,
    pid: process.pid,
    provisioning: false,
  });
  expect((await ask('config_item', 'identity')).data).toEqual({ present: true, value: 'data.test' });
  expect((await ask('config_item', 'no.such.key')).data).toEqual({ present: false, value: null });
  expect((await ask('config_item', 'plugin.nats.pass')).data).toEqual({ present: false, value: null });
});

const schema = fileURLToPath(new URL('../../../shared/conformance/schemas/mcorpc/ddl/v1/data.json', import.meta.url));
// The official schema has no way to say that there is no query, although plugins without one exist.
test.skipIf(!existsSync(schema))('the DDL of config_item fits the official schema', () => {
  const { $schema: _draft, id: _id, ...rules } = JSON.parse(readFileSync(schema, 'utf8'));
  const validate = new Ajv({ strict: false, validateFormats: false }).compile(rules);
  const valid = validate(
    JSON.parse(readFileSync(fileURLToPath(new URL('../../ddl/data/config_item.json', import.meta.url)), 'utf8')),
  );
  expect([valid, validate.errors]).toEqual([true, null]);
});
