// Where nodes are known from, beside the broadcast: files, an inventory, a program. Each runs in the host and behind a pipe.

import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readInventory } from '../../plugins/discovery/inventory.ts';
import { splitWords } from '../../plugins/wire/words.ts';
import { type Asked, askSource, namesOf } from '../support/discovery.ts';
import { isAlive, temporaryFolder, until } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';

const { path: folder, remove } = temporaryFolder();
const write = (name: string, text: string): string => {
  writeFileSync(join(folder, name), text);
  return name;
};
const program = (name: string, text: string): string => {
  write(name, `#!/bin/sh\n${text}\n`);
  chmodSync(join(folder, name), 0o755);
  return join(folder, name);
};
const schema = 'https://choria.io/schemas/choria/discovery/v1/inventory_file.json';
const inventory = `$schema: ${schema}
groups:
  - {name: web, filter: {classes: ["role::web"], facts: ["env=prod"]}}
  - {name: large, filter: {compound: 'fact("cpus") > 8'}}
  - {name: broken, filter: {facts: ["nonsense"]}}
  - {name: everyone}
nodes:
  - {name: b.test, collectives: [mcollective], facts: {env: prod, cpus: 4}, classes: ["role::web"], agents: [rpcutil]}
  - {name: a.test, collectives: [mcollective], facts: {env: prod, cpus: 16}, classes: ["role::db"], agents: [rpcutil, backup]}
  - {name: c.test, collectives: [lab], facts: {env: test, cpus: 16}, classes: ["role::web"], agents: [rpcutil]}
`;
afterAll(remove);

describe.each([['inline'], ['persistent']] as const)('%s', (runner) => {
  let host: TestHost;
  beforeAll(async () => {
    host = await startHost({ distribution: true, ...(runner === 'persistent' && { inlineAs: runner }) });
  });
  afterAll(() => host.stop());
  const flatfile = (options: Record<string, string>, asked: Asked = {}) =>
    namesOf(host, 'flatfile', { folder, ...asked, options });

  describe('flatfile', () => {
    test('a name a line; the end of a line, blanks around a name and empty lines are no names', async () => {
      expect(await flatfile({ file: write('nodes.txt', 'b.test\n  a.test \n\nb.test\n') })).toEqual(['b.test', 'a.test']);
    });

    test('the extension tells the format, unless an option does', async () => {
      expect(await flatfile({ file: write('nodes.json', '["a.test", "b.test"]') })).toEqual(['a.test', 'b.test']);
      expect(await flatfile({ file: write('nodes.yaml', '- a.test\n- b.test\n') })).toEqual(['a.test', 'b.test']);
      expect(await flatfile({ file: write('nodes.list', '["a.test"]'), format: 'json' })).toEqual(['a.test']);
    });

    test('a gjson path finds the list in a document, of which only the words are names', async () => {
      const file = write('sites.yaml', 'sites:\n  - {name: oslo, hosts: [a1.test, 7, a2.test]}\n  - {name: bergen, hosts: []}\n');
      expect(await flatfile({ file, filter: 'sites.#(name=="oslo").hosts' })).toEqual(['a1.test', 'a2.test']);
    });

    test('whoever answered an earlier request, whatever it answered', async () => {
      const replies = '{"agent": "x", "replies": [{"sender": "a.test", "statuscode": 0}, {"sender": "b.test", "statuscode": 5}]}';
      expect(await flatfile({ file: write('replies.json', replies), format: 'results' })).toEqual(['a.test', 'b.test']);
      expect(await flatfile({}, { input: replies })).toEqual(['a.test', 'b.test']);
    });

    test('names and patterns choose among the names', async () => {
      const file = write('some.txt', 'web1.test\nweb2.test\ndb1.test\n');
      expect(await flatfile({ file }, { identities: ['/^web/', 'db1.test', 'other.test'] })).toEqual([
        'web1.test',
        'web2.test',
        'db1.test',
      ]);
      expect(await flatfile({ file }, { identities: ['/^web/'] })).toEqual(['web1.test', 'web2.test']);
    });

    test('the agent of the request is no filter, since the file does not know of agents', async () => {
      expect(await flatfile({ file: write('one.txt', 'a.test\n') }, { agent: 'rpcutil' })).toEqual(['a.test']);
    });

    test.each<[string, Record<string, string>, Asked, string]>([
      ['another filter', { file: 'nodes.txt' }, { facts: ['os=x'], compound: 'true' }, 'flatfile can not honour -F and -S'],
      ['another agent', { file: 'nodes.txt' }, { agent: 'a', agents: ['b'] }, 'flatfile can not honour -A'],
      ['an unknown option', { file: 'nodes.txt', colour: 'red' }, {}, "flatfile has no option 'colour'"],
      ['no file', {}, {}, 'flatfile needs a file'],
      ['a file that is not there', { file: 'gone.txt' }, {}, 'gone.txt: cannot be read'],
      ['an unknown format', { file: 'nodes.txt', format: 'csv' }, {}, "flatfile reads no format 'csv'"],
      ['an empty path', { file: 'nodes.json', filter: '' }, {}, 'the option filter of flatfile is empty'],
      ['a path to no list', { file: 'nodes.json', filter: '0' }, {}, "nodes.json: the filter '0' gives no list"],
      ['a path for text', { file: 'nodes.txt', filter: 'x' }, {}, 'for JSON and YAML'],
      ['what is no document', { file: 'nodes.txt', format: 'json' }, {}, 'nodes.txt: Unexpected token'],
      ['replies without a list', { file: 'nodes.json', format: 'rpc' }, {}, 'nodes.json: it has no list of replies'],
    ])('refused by name: %s', async (_what, options, asked, message) => {
      write('nodes.txt', 'a.test\n');
      write('nodes.json', '["a.test"]');
      await expect(flatfile(options, asked)).rejects.toThrow(message);
    });

    test.each(['a_b.test', 'a..b', '-a.test', 'a-.test', '.test', 'a b', 'x'.repeat(254)])('%s is no name', async (name) => {
      await expect(flatfile({ file: write('bad.txt', `good.test\n${name}\n`) })).rejects.toThrow(`'${name}' is no node name`);
    });
  });

  describe('inventory', () => {
    const find = (asked: Asked = {}, options: Record<string, string> = { file: 'fleet.yaml' }) =>
      namesOf(host, 'inventory', { folder, ...asked, options });
    beforeAll(() => void write('fleet.yaml', inventory));

    test('all nodes of the collective, in the order of the file', async () => {
      expect(await find()).toEqual(['b.test', 'a.test']);
      expect(await find({ collective: 'lab' })).toEqual(['c.test']);
    });

    test('every kind of filter is held against a node here', async () => {
      expect(await find({ facts: ['cpus>8'] })).toEqual(['a.test']);
      expect(await find({ classes: ['/WEB/'] })).toEqual(['b.test']);
      expect(await find({ agents: ['backup'], identities: ['/test$/'] })).toEqual(['a.test']);
      expect(await find({ compound: 'with("env=prod") and not with("role::db")' })).toEqual(['b.test']);
    });

    test('nobody has data plugins here', async () => {
      expect(await find({ compound: 'backlog("mail").size > 100' })).toEqual([]);
    });

    test('groups are filters of their own, joined, sorted, and free of collectives', async () => {
      expect(await find({ identities: ['group:web'] })).toEqual(['b.test']);
      expect(await find({ identities: ['group:large', 'group:web'] })).toEqual(['a.test', 'b.test', 'c.test']);
      expect(await find({ identities: ['group:everyone'], agents: ['rpcutil'], collective: 'lab' })).toEqual([
        'a.test',
        'b.test',
        'c.test',
      ]);
    });

    test.each<[string, Asked, string]>([
      ['an unknown group', { identities: ['group:nosuch'] }, "no group 'nosuch'; it has web, large, broken, everyone"],
      ['a group and a name', { identities: ['group:web', 'a.test'] }, 'can not be mixed'],
      ['a group and a fact', { identities: ['group:web'], facts: ['a=b'] }, 'a group is a filter of its own'],
      ['a group and two agents', { identities: ['group:web'], agents: ['a', 'b'] }, 'a group is a filter of its own'],
      ['a group that makes no sense', { identities: ['group:broken'] }, "'nonsense' is no fact filter"],
      ['an expression that makes no sense', { compound: 'with(' }, "the expression 'with(' can not be used"],
    ])('refused by name: %s', async (_what, asked, message) => {
      await expect(find(asked)).rejects.toThrow(message);
    });

    test('a file that does not fit its schema is refused, unless it need not', async () => {
      const file = write('loose.json', `{"$schema": "${schema}", "nodes": [{"name": "a.test", "collectives": ["mcollective"]}]}`);
      await expect(find({}, { file })).rejects.toThrow("loose.json: nodes.0 must have required property 'facts'");
      expect(await find({}, { file, novalidate: '1' })).toEqual(['a.test']);
      await expect(find({}, { file: write('other.json', '{"nodes": []}'), novalidate: '1' })).rejects.toThrow(
        'it is no inventory file',
      );
      await expect(find({}, { file: 'fleet.yaml', depth: '1' })).rejects.toThrow("inventory has no option 'depth'");
      await expect(find({}, {})).rejects.toThrow('plugin.choria.discovery.inventory.source');
    });
  });

  describe('external', () => {
    const run = (command: string, asked: Asked = {}) =>
      askSource(host, 'external', { ...asked, options: { ...asked.options, command } });

    test('a program is asked by files, in an exact environment, and answers in a file', async () => {
      const seen = join(folder, `seen-${runner}`);
      const command = program(
        `finder-${runner}`,
        `env | sed 's/=.*//' | sort > '${seen}.env'; cp "$CHORIA_EXTERNAL_REQUEST" '${seen}.json'; pwd > '${seen}.pwd'
printf '%s\\n' "$@" > '${seen}.args'; stat -c %a "$CHORIA_EXTERNAL_REPLY" >> '${seen}.args'
printf '{"protocol":"io.choria.choria.discovery.v1.external_reply","nodes":["b.test","a.test"]}' > "$CHORIA_EXTERNAL_REPLY"`,
      );
      const found = await run(`${command} --site 'north pole' "a\\"b"`, {
        options: { site: 'oslo' },
        facts: ['country=no'],
        identities: ['/x/'],
        agent: 'rpcutil',
        collective: 'ops',
        federations: ['oslo', 'bergen'],
      });
      expect(found).toEqual({ nodes: [{ identity: 'b.test' }, { identity: 'a.test' }] });
      const environment = readFileSync(`${seen}.env`, 'utf8').trim().split('\n');
      // What the shell of this program sets for itself.
      expect(environment.filter((name) => !['PWD', 'SHLVL', '_', 'OLDPWD'].includes(name))).toEqual([
        'CHORIA_EXTERNAL_PROTOCOL',
        'CHORIA_EXTERNAL_REPLY',
        'CHORIA_EXTERNAL_REQUEST',
        'PATH',
      ]);
      const [site, pole, quoted, request, reply, protocol, mode] = readFileSync(`${seen}.args`, 'utf8').split('\n');
      expect([site, pole, quoted, protocol, mode]).toEqual([
        '--site',
        'north pole',
        'a"b',
        'io.choria.choria.discovery.v1.external_request',
        '600',
      ]);
      expect(() => readFileSync(String(request))).toThrow('ENOENT');
      expect(() => readFileSync(String(reply))).toThrow('ENOENT');
      expect(JSON.parse(readFileSync(`${seen}.json`, 'utf8'))).toEqual({
        $schema: 'https://choria.io/schemas/choria/discovery/v1/external_request.json',
        protocol: 'io.choria.choria.discovery.v1.external_request',
        collective: 'ops',
        federations: ['oslo', 'bergen'],
        timeout: 20,
        options: { site: 'oslo' },
        filter: {
          fact: [{ fact: 'country', operator: '==', value: 'no' }],
          cf_class: [],
          agent: ['rpcutil'],
          identity: ['/x/'],
          compound: [],
        },
      });
    });

    test('a program has a second at least, and says so if it was given less', async () => {
      const command = program('quick', `printf '{"protocol":"io.choria.choria.discovery.v1.external_reply"}' > "$2"`);
      expect(await run(command, { timeoutMs: 10 })).toEqual({
        nodes: [],
        notes: ['the time for discovery was raised to 1 s, the least that an external program gets'],
      });
    });

    test('at the deadline it is killed, and what it started with it', async () => {
      const pids = join(folder, `pids-${runner}`);
      const command = program(`slow-${runner}`, `sleep 300 & echo $! $$ > '${pids}'; wait`);
      await expect(run(command, { timeoutMs: 4_000 })).rejects.toThrow('did not end within 4 s and was killed');
      const running = readFileSync(pids, 'utf8').trim().split(' ').map(Number);
      expect(running).toHaveLength(2);
      await until('both have ended', () => !running.some(isAlive));
    });

    test.each([
      ['exit 3', 'failed: exit status 3'],
      ['echo no such site >&2; exit 1', 'failed: exit status 1: no such site'],
      [`printf '{"error":"x"}' > "$2"; exit 1`, 'failed: exit status 1'],
      [`printf nonsense > "$2"`, 'is not JSON'],
      [`printf '{"error":"no such site"}' > "$2"`, 'no such site'],
      [`printf '{"protocol":"other"}' > "$2"`, 'is not of the protocol io.choria.choria.discovery.v1.external_reply'],
    ])('%s', async (text, message) => {
      await expect(run(program('failing', text))).rejects.toThrow(message);
    });

    test('a program that is not there, or not named', async () => {
      await expect(run('/nonexistent/finder')).rejects.toThrow('/nonexistent/finder');
      await expect(run('')).rejects.toThrow('external needs a command: --do command=COMMAND');
      await expect(run("finder 'x")).rejects.toThrow('has a quote that is not closed');
    });
  });
});

test.each([
  ['finder --a b', ['finder', '--a', 'b']],
  [`'a b' "c d" e\\ f`, ['a b', 'c d', 'e f']],
  [`a'b'"c"d`, ['abcd']],
  [`"\\$x \\n \\\\ \\""`, ['$x \\n \\ "']],
  [`'' ""`, ['', '']],
  ['  ', []],
  ['$HOME *.txt `id`', ['$HOME', '*.txt', '`id`']],
])('the command line %s has the words of a shell', (line, words) => {
  expect(splitWords(line)).toEqual(words);
});

test('a group of an inventory file may have a name of letters, digits, _ and - only', () => {
  write('groups.yaml', `$schema: ${schema}\ngroups: [{name: "a b"}]\nnodes: []\n`);
  expect(() => readInventory(join(folder, 'groups.yaml'))).toThrow('groups.0.name must match pattern');
});
