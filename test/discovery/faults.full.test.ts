// Sources of nodes that hang, lie, or tell of very many, and names that are meant for the terminal and not for the fleet.

import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Ran, runMuster, writeConfig } from '../support/command.ts';
import { patience } from '../support/discovery.ts';
import { Fleet } from '../support/fleet.ts';
import { isAlive, until, writeBundle } from '../support/folders.ts';
import { hear, replyBytes, scriptedNode } from '../support/scripted-node.ts';

const hostileText = '\x1b[2J\x1b]0;owned\x07\x9b31m\u202e';
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const raw = /[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]/;
const many = 100_000;
let fleet: Fleet;
let nats: NatsConnection;
let config: string;

const manifest = `bundle: liar
version: 1.0.0
plugins:
  - { kind: discovery, name: liar, runner: persistent, command: [node, ./liar.mjs] }
`;
/** Answers with what stands in the option `answer`, whatever that is; without one it never does. */
const liar = `import { createInterface } from 'node:readline';
import { writeFileSync } from 'node:fs';
createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, params } = JSON.parse(line);
  const answer = (result) => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', id, result }) + '\\n');
  if (method === 'initialize') answer({ protocol: 1, version: '1.0.0' });
  else if (method !== 'discovery/discover') { if (id !== undefined) answer({}); }
  else if (params.options.pid) writeFileSync(params.options.pid, String(process.pid));
  else if (params.options.many) answer({ nodes: Array.from({ length: Number(params.options.many) }, (_, n) => ({ identity: 'node' + n + '.example.test' })) });
  else answer(JSON.parse(params.options.answer));
}).on('close', () => process.exit());
`;

beforeAll(async () => {
  fleet = await Fleet.start();
  nats = await fleet.connection();
  const bundles = join(fleet.folder, 'bundles');
  mkdirSync(bundles);
  writeBundle(bundles, 'liar', manifest, { 'liar.mjs': liar });
  config = writeConfig(fleet.folder, 'client.conf', {
    ...(await fleet.certificate('operator.mcollective')),
    identity: 'operator.mcollective',
    ...patience,
    'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
    'plugin.muster.discovery.source_timeout': '1500ms',
  });
});
afterAll(() => fleet.stop());

const muster = (...args: string[]): Promise<Ran> => runMuster([...args, '--config', config]);
const ask = (answer: unknown, ...args: string[]) =>
  muster('find', '--dm', 'liar', '--do', `answer=${JSON.stringify(answer)}`, ...args);

test('a source that hangs is given up when its time is over, by name, and does not outlive it', async () => {
  const pid = join(fleet.folder, 'liar.pid');
  const begun = performance.now();
  const { code, out, err } = await muster('find', '--dm', 'liar', '--do', `pid=${pid}`);
  expect({ code, out }).toEqual({ code: 1, out: '' });
  expect(err).toBe(
    'muster: the discovery method liar did not answer within 7 s; plugin.muster.discovery.source_timeout gives it more\n',
  );
  expect(performance.now() - begun).toBeLessThan(30_000);
  await until('it has ended', () => !isAlive(Number(readFileSync(pid, 'utf8'))));
});

describe('a source that lies', () => {
  test.each<[string, unknown]>([
    ['a list', []],
    ['nothing', null],
    ['no nodes', {}],
    ['a number of nodes', { nodes: 5 }],
    ['nodes by name', { nodes: { 'a.test': {} } }],
    ['bare names', { nodes: ['a.test'] }],
    ['a node without a name', { nodes: [{}] }],
    ['a name that is a number', { nodes: [{ identity: 7 }] }],
    ['an empty name', { nodes: [{ identity: '' }] }],
    ['a state that there is not', { nodes: [{ identity: 'a.test', state: 'asleep' }] }],
    ['a time that is a text', { nodes: [{ identity: 'a.test', seen: 'today' }] }],
    ['notes that are none', { nodes: [], notes: [5] }],
  ])('with %s is refused in one line', async (_what, answer) => {
    const { code, out, err } = await ask(answer);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(/^muster: result of discovery\/discover: [^\n]+\n$/);
  });

  test('with names that are none is believed the others, and told of', async () => {
    const names = ['a.test', 'b.*', '>', 'c d', 'e\r\nPUB x 0', '.f', 'g..h', hostileText, 'x'.repeat(300), 'i.test'];
    const { code, out, err } = await ask({ nodes: names.map((identity) => ({ identity, state: 'present', seen: 1 })) });
    expect({ code, out }).toEqual({ code: 0, out: 'a.test\ni.test\n' });
    expect(err).toBe('warning: liar told of 8 names that are none, such as "b.*" of a node; they are left out\n');
    expect((await ask({ nodes: [{ identity: hostileText, seen: 1 }] }, '-v')).out).not.toMatch(raw);
  });

  test('with a message for the terminal does not reach it', async () => {
    const { err } = await ask({ nodes: [{ identity: hostileText }], notes: [`all is well${hostileText}`] });
    expect(err).toContain('warning: all is well\\u001b[2J\\u001b]0;owned\\u0007\\u009b31m\\u202e\n');
    expect(err).not.toMatch(raw);
  });

  test('sends a request to nobody but nodes', async () => {
    const heard: string[] = [];
    const subscription = nats.subscribe('>', { callback: (_error, { subject }) => void heard.push(subject) });
    await nats.flush();
    const answer = JSON.stringify({ nodes: ['*', '>', 'a b', 'good.test'].map((identity) => ({ identity })) });
    const { out } = await muster(
      'req',
      'rpcutil',
      'ping',
      '--dm',
      'liar',
      '--do',
      `answer=${answer}`,
      '--timeout',
      '1',
      '--json',
    );
    subscription.unsubscribe();
    expect(JSON.parse(out).request_stats).toMatchObject({ discovered: 1, no_responses: ['good.test'] });
    expect(heard.filter((subject) => subject.includes('.node.'))).toEqual(['mcollective.node.good.test']);
  });
});

test('a name that the user gave and that is none is refused', async () => {
  for (const name of ['a b', 'a.*', '>', hostileText]) {
    const { code, err } = await muster('req', 'rpcutil', 'ping', '-I', name);
    expect(code).toBe(1);
    expect(err).toMatch(/^muster: "[^\n]*" is no name of a node\n$/);
    expect(err).not.toMatch(raw);
  }
});

describe(`${many} names`, () => {
  const lines = () => Array.from({ length: many }, (_, index) => `node${index}.example.test`);
  /** The command, and the most memory that it took. */
  async function measured(...args: string[]): Promise<Ran & { megabytes: number; ms: number }> {
    const probe = join(fleet.folder, 'probe.mjs');
    const told = join(fleet.folder, 'memory.txt');
    writeFileSync(
      probe,
      `import { writeFileSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';
if (isMainThread && /muster|main/.test(process.argv[1] ?? '')) process.on('exit', () => writeFileSync(${JSON.stringify(told)}, String(process.resourceUsage().maxRSS)));
`,
    );
    const begun = performance.now();
    const ran = await runMuster([...args, '--config', config], { NODE_OPTIONS: `--import ${probe}` });
    return { ...ran, megabytes: Number(readFileSync(told, 'utf8')) / 1024, ms: performance.now() - begun };
  }

  test.each([
    ['a plugin', () => ['--dm', 'liar', '--do', `many=${many}`]],
    [
      'a program',
      () => {
        const program = join(fleet.folder, 'finder.mjs');
        writeFileSync(
          program,
          `#!${process.execPath}
const nodes = Array.from({ length: ${many} }, (_, n) => 'node' + n + '.example.test');
require('node:fs').writeFileSync(process.env.CHORIA_EXTERNAL_REPLY, JSON.stringify({ protocol: 'io.choria.choria.discovery.v1.external_reply', nodes }));
`.replace('require', "(await import('node:module')).createRequire(import.meta.url)"),
        );
        chmodSync(program, 0o755);
        return ['--dm', 'external', '--do', `command=${program}`];
      },
    ],
    [
      'a file',
      () => {
        writeFileSync(join(fleet.folder, 'many.txt'), `${lines().join('\n')}\n`);
        return ['--nodes', join(fleet.folder, 'many.txt')];
      },
    ],
  ])(
    'from %s are found in bounded time and memory',
    async (_what, flags) => {
      const { code, out, err, ms, megabytes } = await measured('find', ...flags(), '--discovery-timeout', '10');
      expect({ code, err }).toEqual({ code: 0, err: '' });
      expect(out.trim().split('\n')).toHaveLength(many);
      expect(ms).toBeLessThan(60_000);
      expect(megabytes).toBeGreaterThan(20);
      expect(megabytes).toBeLessThan(400);
    },
    120_000,
  );

  test('are asked, and those that are silent are told of', async () => {
    await scriptedNode(nats, 'node7.example.test', ({ reply }) => reply());
    const args = ['req', 'rpcutil', 'ping', '--dm', 'liar', '--do', `many=${many}`, '--timeout', '4'];
    const { code, out, ms, megabytes } = await measured(...args);
    expect(code).toBe(0);
    expect(out).toContain(`Finished processing 1 / ${many} hosts`);
    expect(out).toContain(`No Responses from: ${many - 1}`);
    expect(out).toContain('… and 99799 more');
    expect(ms).toBeLessThan(90_000);
    expect(megabytes).toBeLessThan(600);
  });
});

describe('what nodes answer', () => {
  const hostile = {
    text: `a${hostileText}b`,
    [`key${hostileText}`]: hostileText,
    list: [hostileText],
    deep: { [hostileText]: hostileText },
  };

  test.each([[[]], [['-v']], [['--table']], [['--json']], [['--jsonl']], [['--senders']], [['--display', 'all']]])(
    'is printed with %j without reaching the terminal',
    async (flags) => {
      const name = `hostile${flags.join('').replaceAll('-', '')}.test`;
      await scriptedNode(nats, name, (heard) => {
        nats.publish(heard.replyTo, replyBytes(heard, `sender${hostileText}`, { data: hostile }));
        nats.publish(
          heard.replyTo,
          replyBytes(heard, `failed${hostileText}`, { data: hostile, statuscode: 1, statusmsg: `no${hostileText}` }),
        );
        heard.reply(hostile);
      });
      const { code, out, err } = await muster('req', 'rpcutil', 'inventory', '-I', name, '--timeout', '5', ...flags);
      expect(code).toBe(0);
      expect(out).not.toMatch(raw);
      expect(err).not.toMatch(raw);
      expect(out).toMatch(/\\u001b|hostile/);
      if (flags.includes('--json')) expect(JSON.parse(out).replies.at(-1).data.text).toBe(hostile.text);
    },
  );

  test('as the value of a fact, or as the message of a failure, neither', async () => {
    await scriptedNode(nats, 'facts.test', ({ reply }) => reply({ fact: 'x', value: hostileText }));
    const facts = await muster('facts', 'x', '-I', 'facts.test');
    expect(facts.out).toContain('\\u001b[2J');
    expect(facts.out).not.toMatch(raw);
    await scriptedNode(nats, 'failing.test', (heard) =>
      nats.publish(heard.replyTo, replyBytes(heard, 'failing.test', { statuscode: 1, statusmsg: hostileText })),
    );
    for (const args of [
      ['inventory', 'failing.test'],
      ['why', 'a'.repeat(32), '-I', 'failing.test'],
    ]) {
      const { out, err } = await muster(...args);
      expect(out + err).toContain('\\u001b[2J');
      expect(out + err).not.toMatch(raw);
    }
  });

  test('to a ping or a broadcast, neither', async () => {
    const subscription = nats.subscribe('mcollective.broadcast.agent.discovery', {
      callback: (_error, { data }) => {
        const heard = hear(nats, '', data, 1);
        for (const name of [`ping${hostileText}`, 'good.test']) nats.publish(heard.replyTo, replyBytes(heard, name, {}));
      },
    });
    await nats.flush();
    const ping = await muster('ping', '--timeout', '3');
    const find = await muster('find');
    subscription.unsubscribe();
    expect(ping.out).toMatch(/^good\.test .*\n\n\n---- ping statistics ----\n1 replies/);
    expect(find.out).toBe('good.test\n');
    for (const { out, err } of [ping, find]) {
      expect(err).toContain('a reply was passed over: its sender "ping\\u001b[2J');
      expect(out + err).not.toMatch(raw);
    }
  });
});
