// A client made from a DDL: compiled as strictly as its users compile, then run against a live fleet.

import { execFile, execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { patience } from '../support/discovery.ts';
import { Fleet } from '../support/fleet.ts';
import { temporaryFolder, writeBundle } from '../support/folders.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const official = fileURLToPath(new URL('../../../shared/conformance/ddl', import.meta.url));
const main = join(distributionRoot(), 'core/cli/main.js');
const { path: folder, remove } = temporaryFolder();
let fleet: Fleet;

const text = { prompt: 'x', description: 'x', optional: true };
const ddl = {
  metadata: {
    name: 'lamp',
    description: 'Lamps */ and more',
    author: 'Ada',
    license: 'MIT',
    version: '1.0.0',
    url: 'x',
    timeout: 20,
  },
  actions: [
    {
      action: 'set_many',
      description: 'Sets what it is given; it\'s "quoted" and \\slashed',
      display: 'always',
      input: {
        room: { ...text, type: 'string', optional: false, validation: '^\\w+$', maxlength: 10 },
        mode: { ...text, type: 'list', list: ['soft', "it's hard"], default: 'soft' },
        level: { ...text, type: 'integer' },
        ratio: { ...text, type: 'float' },
        on: { ...text, type: 'boolean', default: false },
        labels: { ...text, type: 'Hash' },
        'odd-name': { ...text, type: 'Array' },
      },
      output: {
        got: { description: 'Input', display_as: 'Input', type: 'hash' },
        room: { description: 'Room', display_as: 'Room', type: 'string' },
        more: { description: 'More', display_as: 'More', type: 'string', default: 'none' },
      },
      aggregate: [{ function: 'summary', args: ['room'] }],
    },
    { action: 'call', description: 'Has a name that clients use', input: {}, output: {} },
    { action: 'constructor', description: 'So has this', input: {}, output: {} },
  ],
};

const agent = `from muster_plugin import Agent, ActionError
agent = Agent("lamp")
@agent.action
def set_many(data, call):
    if data["room"] == "none":
        raise ActionError("there is no room", data={"room": "none"})
    return {"got": data, "room": data["room"]}
@agent.action(name="call")
def call_(data, call):
    call.sleep(30)
@agent.action(name="constructor")
def constructor_(data, call):
    return {}
agent.run()
`;

const use = `import { embed } from 'muster/host';
import { clientNeeds, FleetClient } from 'muster/client';
import { LampClient } from './lamp-client.js';

await using embedded = await embed({ config: 'client.conf', needs: clientNeeds });
const fleet = new FleetClient(embedded.host);
const lamp = new LampClient(fleet);
const { replies, statistics, aggregates } = await lamp.setMany({ room: 'attic', level: 3, labels: { a: 1 }, 'odd-name': [1] }, { filter: { facts: ['site=oslo'] } }).result();
const reply = replies[0];
// Typed: a failed reply has to be told apart before its data is used.
const got: Readonly<Record<string, unknown>> | undefined = reply?.ok ? reply.data.got : undefined;
const more: string = reply?.ok ? (reply.data.more ?? '') : '';
const streamed: string[] = [];
const call = lamp.setMany({ room: 'hall', mode: "it's hard" });
for await (const { sender, ok } of call) streamed.push(sender + ' ' + ok);
const chosen = await lamp.setMany({ room: 'attic' }, { replyFilter: 'sender() == "b.test"' }).result();
const unkept = await lamp.setMany({ room: 'attic' }, { keepReplies: false, retries: 1, canary: { share: '50%', success: '100%' } }).result();
const failed = (await lamp.setMany({ room: 'none' }, { targets: ['a.test'] }).result()).replies[0];
const ended = await lamp.callAction({}, { targets: ['a.test'], signal: AbortSignal.timeout(300) }).result().catch((error: Error) => error.name);
let left = 0;
for await (const _reply of lamp.setMany({ room: 'cellar' })) { left += 1; break; }
const refused = (() => { try { lamp.setMany({ room: 'a b' }); return 'nothing'; } catch (error) { return (error as Error).message; } })();
const nobody = await lamp.setMany({ room: 'a' }, { filter: { facts: ['site=rome'] } }).result().catch((error: Error) => error.message);
console.log(JSON.stringify({ replies: replies.length, ok: statistics.ok, got, more, rooms: aggregates.room?.result, streamed: streamed.sort(), whole: (await call.result()).replies.length, unkept: [unkept.replies.length, unkept.aggregates.room?.result, unkept.canary?.passed], chosen: [chosen.replies.map(({ sender }) => sender), chosen.statistics.ok], failed: [failed?.ok, failed?.statusmsg], ended, left, refused, nobody }));
`;

/** Compiles as users do who have everything switched on. */
function compile(files: readonly string[]): string {
  const options = [
    '--strict',
    '--noUncheckedIndexedAccess',
    '--exactOptionalPropertyTypes',
    '--noUnusedLocals',
    '--noUnusedParameters',
  ];
  const target = [
    '--target',
    'es2022',
    '--lib',
    'es2023,esnext.disposable',
    '--module',
    'nodenext',
    '--types',
    'node',
    '--typeRoots',
    join(root, 'node_modules/@types'),
  ];
  try {
    execFileSync(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), ...options, ...target, ...files], {
      cwd: folder,
      encoding: 'utf8',
    });
    return '';
  } catch (error) {
    return (error as { stdout: string }).stdout;
  }
}

const generate = (file: string, target: string) =>
  execFileSync(process.execPath, [main, 'plugin', 'generate', 'client', file, '--lang', 'ts', '-o', target, '--force'], {
    cwd: folder,
    stdio: 'pipe',
  });

beforeAll(async () => {
  mkdirSync(join(folder, 'node_modules'));
  symlinkSync(root, join(folder, 'node_modules/muster'));
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  writeFileSync(join(folder, 'lamp.json'), JSON.stringify(ddl));
  const bundles = join(folder, 'bundles');
  writeBundle(
    bundles,
    'lamp',
    `bundle: lamp\nversion: 1.0.0\nplugins:\n  - {kind: agent, name: lamp, runner: persistent, command: [python3, ./lamp.py], resources: {ddl: ./ddl.json}}\n`,
    { 'lamp.py': agent, 'ddl.json': JSON.stringify(ddl) },
  );
  fleet = await Fleet.start();
  await Promise.all([
    fleet.node('a.test', { bundles: [bundles], facts: { site: 'oslo' } }),
    fleet.node('b.test', { bundles: [bundles], facts: { site: 'rome2' } }),
  ]);
  const values = {
    ...(await fleet.certificate('operator.mcollective')),
    identity: 'operator.mcollective',
    ...patience,
    'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
  };
  writeFileSync(
    join(folder, 'client.conf'),
    Object.entries(values)
      .map(([key, value]) => `${key} = ${value}\n`)
      .join(''),
  );
});
afterAll(async () => {
  await fleet.stop();
  remove();
});

test('compiles and works: typed input and replies, filters, streams, summaries, failures, an end', async () => {
  generate('lamp.json', 'lamp-client.ts');
  writeFileSync(join(folder, 'use.ts'), use);
  expect(compile(['use.ts'])).toBe('');
  const program = `import(${JSON.stringify(pathToFileURL(join(folder, 'use.js')).href)})`;
  // The nodes are in this process, which must not stand still meanwhile.
  const { stdout } = await promisify(execFile)(process.execPath, ['-e', program], { cwd: folder, timeout: 60_000 });
  expect(JSON.parse(stdout)).toEqual({
    replies: 1,
    ok: 1,
    got: { room: 'attic', level: 3, labels: { a: 1 }, 'odd-name': [1], mode: 'soft', on: false },
    more: 'none',
    rooms: { attic: 1 },
    streamed: ['a.test true', 'b.test true'],
    whole: 2,
    unkept: [0, { attic: 2 }, true],
    chosen: [['b.test'], 2],
    failed: [false, 'there is no room'],
    ended: 'TimeoutError',
    left: 1,
    refused: "validation failed for input 'room': input does not match '^\\w+$'",
    nobody: 'did not discover any nodes',
  });
});

test.each([
  ['lamp.setMany({ room: 3 })', "Type 'number' is not assignable to type 'string'"],
  ["lamp.setMany({ room: 'a', mode: 'loud' })", 'Type \'"loud"\' is not assignable to type'],
  ['lamp.setMany({})', "Property 'room' is missing"],
  ["lamp.setMany({ room: 'a', rom: 1 })", "'rom' does not exist in type 'SetManyInput'"],
])('%s does not compile', (expression, message) => {
  generate('lamp.json', 'lamp-client.ts');
  writeFileSync(
    join(folder, 'wrong.ts'),
    `import { LampClient } from './lamp-client.js';\ndeclare const lamp: LampClient;\nvoid ${expression};\n`,
  );
  expect(compile(['wrong.ts', '--noEmit'])).toContain(message);
});

describe.skipIf(!existsSync(official))('the official DDLs', () => {
  test('become clients that compile', () => {
    const names = readdirSync(official).map((file) => file.replace('.json', ''));
    expect(names.length).toBeGreaterThan(5);
    for (const name of names) generate(join(official, `${name}.json`), `${name}-client.ts`);
    expect(compile([...names.map((name) => `${name}-client.ts`), '--noEmit'])).toBe('');
  });
});
