// Expressions that choose nodes and replies: data plugins as functions, on a node and through the command line.

import { execFile } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { buildFilter, emptyFilter } from '../../plugins/wire/filter.ts';
import { patience } from '../support/discovery.ts';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { temporaryFolder, until, writeBundle } from '../support/folders.ts';
import type { TestHost } from '../support/hosts.ts';
import { Crafter } from '../support/messages.ts';

const main = join(distributionRoot(), 'core/cli/main.js');
const { path: bundles, remove } = temporaryFolder();
/** The Python plugin writes each question here. */
const asked = join(bundles, 'asked.txt');
let fleet: Fleet;
let web: TestHost;
let client: TestClient;
let config: string;

const ddl = (name: string, takesQuery: boolean, timeout = 9) =>
  JSON.stringify({
    metadata: { name, description: name, author: 'x', license: 'x', version: '1.0.0', url: 'https://example.org', timeout },
    query: takesQuery
      ? { prompt: 'Name', description: 'Name', type: 'string', optional: false, validation: '^[a-z]+$', maxlength: 20 }
      : null,
    output: { state: { description: 'State', display_as: 'State', type: 'string' } },
  });
const manifest = (name: string, runner: string) =>
  `bundle: ${name}\nversion: 1.0.0\nplugins:\n  - { kind: data, name: ${name}, ${runner}, resources: { ddl: ./ddl.json } }\n`;

beforeAll(async () => {
  writeBundle(bundles, 'unit', manifest('unit', 'runner: persistent, command: [python3, ./unit.py]'), {
    'ddl.json': ddl('unit', true),
    'unit.py': `from muster_plugin import Plugin
plugin = Plugin(version="1.0.0")

@plugin.method("data/get")
def get(params, call):
    name = params["query"]
    with open(${JSON.stringify(asked)}, "a") as file:
        file.write(name + "\\n")
    if name == "gone":
        return {"data": None}
    return {"data": {"name": name, "state": "running", "restarts": 3, "history": ["start", "stop", "start"]}}

plugin.run()
`,
  });
  writeBundle(bundles, 'sleepy', manifest('sleepy', 'runner: oneshot, command: [sleep, "30"]'), {
    'ddl.json': ddl('sleepy', false, 2),
  });
  writeBundle(
    bundles,
    'broken',
    manifest('broken', 'runner: oneshot, command: [sh, -c, "echo the sensor is gone >&2; exit 1"]'),
    {
      'ddl.json': ddl('broken', false),
    },
  );
  fleet = await Fleet.start();
  web = await fleet.node('web.test', {
    watched: [bundles],
    classes: ['apache'],
    facts: { cores: 8, os: { family: 'Debian' }, disks: [{ name: 'sda', size: 2000 }], version: '1.4.2' },
  });
  // What is inline elsewhere runs behind pipes on this one.
  await fleet.node('db.test', {
    inlineAs: 'persistent',
    classes: ['postgres'],
    facts: { cores: 2, os: { family: 'RedHat' }, disks: [], version: '1.5.0' },
  });
  client = await fleet.client();
  config = join(fleet.folder, 'client.conf');
  const values = {
    ...(await fleet.certificate('operator.mcollective')),
    identity: 'operator.mcollective',
    ...patience,
    'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
  };
  const lines = Object.entries(values).map(([key, value]) => `${key} = ${value}\n`);
  writeFileSync(config, lines.join(''));
});
afterAll(async () => {
  await fleet.stop();
  remove();
});

const find = (compound: string, timeoutMs?: number) => client.find({ compound }, timeoutMs);
/** Long enough for whoever would be found by mistake. */
const shortMs = 1_000;
const questions = (): string[] => (existsSync(asked) ? readFileSync(asked, 'utf8').trim().split('\n') : []);
const logged = (text: string) => web.log.some(({ message }) => message.includes(text));

describe('an expression chooses nodes', () => {
  test.each([
    ["with('apache')", ['web.test']],
    ["not with('apache')", ['db.test']],
    ["fact('cores') > 1", ['db.test', 'web.test']],
    ["with('os.family=Debian') or fact('cores') == 2", ['db.test', 'web.test']],
    ["any(fact('disks'), .size > 1000)", ['web.test']],
    ["semver(fact('version'), '>= 1.5')", ['db.test']],
    ["'postgres' in classes and 'rpcutil' in agents", ['db.test']],
    ["fact('nosuch') > 1", []],
  ])('%s', async (compound, nodes) => {
    expect(await find(compound, nodes.length > 0 ? undefined : shortMs)).toEqual(nodes);
  });

  test('beside other filters, which are looked at first', async () => {
    expect(await client.find({ identities: ['db.test'], compound: "fact('cores') > 1" })).toEqual(['db.test']);
    expect(await client.find({ classes: ['apache'], compound: "fact('cores') < 4" }, shortMs)).toEqual([]);
  });
});

describe('data plugins are functions', () => {
  test('those that the node has in itself', async () => {
    expect(await find("'apache' in choria().classes and choria().agents_count > 2")).toEqual(['web.test']);
    expect(await find("config_item('identity').value == 'db.test'")).toEqual(['db.test']);
    expect(await find("config_item('no.such.key').present", shortMs)).toEqual([]);
  });

  test('one in Python, asked once for those who ask together; a node without it is not chosen', async () => {
    const found = await Promise.all([
      find("unit('nginx').state == 'running' and unit('nginx').restarts > 2"),
      find("len(unit('nginx').history) == 3 and 'stop' in unit('nginx').history"),
    ]);
    expect(found).toEqual([['web.test'], ['web.test']]);
    expect(questions().filter((name) => name === 'nginx')).toHaveLength(1);
  });

  test('nothing of the kind is nil', async () => {
    expect(await find("unit('gone') == nil and unit('gone').state == nil")).toEqual(['web.test']);
  });

  test('several questions are asked one after the other, each once', async () => {
    expect(await find("all(['one','two','three'], unit(#).name == #) and unit('two').restarts == 3")).toEqual(['web.test']);
    expect(questions().slice(-3)).toEqual(['one', 'two', 'three']);
  });

  test('more questions than a filter may ask are no match', async () => {
    const names = Array.from(
      { length: 40 },
      (_none, index) => `'${String.fromCharCode(97 + (index % 26)).repeat(2 + index / 26)}'`,
    );
    expect(await find(`all([${names}], unit(#).state == 'running')`, 3_000)).toEqual([]);
  });

  test('what is decided before is not asked', async () => {
    expect(await find("with('apache') or unit('unasked').state == 'running'")).toEqual(['web.test']);
    expect(await find("with('nginx') and unit('unasked').state == 'running'", shortMs)).toEqual([]);
    expect(await client.find({ classes: ['nosuch'], compound: "unit('unasked').state == 'running'" }, shortMs)).toEqual([]);
    expect(questions()).not.toContain('unasked');
  });

  test('one that fails tells nil, and the log says why', async () => {
    expect(await find('broken() == nil')).toEqual(['web.test']);
    expect(logged('the data plugin broken told a filter nothing')).toBe(true);
  });

  test('a query that its DDL refuses is not asked', async () => {
    expect(await find("unit('NOT A NAME') == nil")).toEqual(['web.test']);
    expect(questions()).not.toContain('NOT A NAME');
  });

  test('one that is slow tells nil after its time, and other requests go on meanwhile', async () => {
    const slow = find('sleepy() == nil', 20_000).then((nodes) => ({ nodes, at: performance.now() }));
    const { statuscode } = await client.ask('web.test', 'rpcutil', 'ping');
    const answered = performance.now();
    expect(statuscode).toBe(0);
    const { nodes, at } = await slow;
    expect(nodes).toEqual(['web.test']);
    expect(answered).toBeLessThan(at);
  });

  test('a sliding window does not wait for those that answer long after the others', async () => {
    const compound = "with('postgres') or sleepy() == nil";
    const begun = performance.now();
    const { answers } = await client.fleet.ping({ filter: buildFilter({ compound }), timeoutMs: 20_000, windowed: true });
    expect(answers.map(({ sender }) => sender)).toEqual(['db.test']);
    expect(performance.now() - begun).toBeLessThan(10_000);
  });

  test('an old message does not get one to work', async () => {
    const crafter = await Crafter.of(fleet.authority, 'operator.mcollective');
    const connection = await fleet.connection();
    const { payload } = crafter.request({
      agent: 'rpcutil',
      action: 'ping',
      replyTo: 'mcollective.reply.old.x',
      time: Math.floor(Date.now() / 1000) - 3_600,
      filter: { ...emptyFilter, compound: [[{ expr: "unit('old').state == 'running'" }]] },
    });
    connection.publish('mcollective.broadcast.agent.rpcutil', payload);
    await until('it was dropped', () => logged('it was made 36'));
    expect(questions()).not.toContain('old');
  });

  test('one that is dropped in is a function a second later', async () => {
    writeBundle(bundles, 'fresh', manifest('fresh', `runner: oneshot, command: [echo, '{"data":{"state":"new"}}']`), {
      'ddl.json': ddl('fresh', false),
    });
    await until('it is asked', async () => (await find("fresh().state == 'new'", 1_000)).length === 1);
  });
});

describe('an expression that fails chooses nobody', () => {
  test.each([
    ["with('apache'", 'the expression ends here'],
    ["include(classes, 'apache')", 'include takes a list'],
    ["!(fact('nosuch') > 1)", "can't be compared"],
    ["nosuchdata('x').y == 1", 'there is no function nosuchdata'],
    ['unit() == nil', 'unit takes one argument, not 0'],
    ["all(1..int(fact('cores')) * 500000, # > 0)", 'the expression makes more than'],
  ])('%s', async (compound, reason) => {
    expect(await find(compound, shortMs)).toEqual([]);
    // On a busy machine, a long evaluation ends after the time for answers.
    await until('a node tells why', () => logged(reason));
  });

  test('so does one of several', async () => {
    const filter = (...sources: string[]) => ({
      fact: [],
      cf_class: [],
      agent: [],
      identity: [],
      compound: sources.map((expr) => [{ expr }]),
    });
    const names = async (sources: string[], timeoutMs = 5_000) => {
      const { answers } = await client.fleet.ping({ filter: filter(...sources), timeoutMs });
      return answers.map(({ sender }) => sender).sort();
    };
    expect(await names(['true', "with('apache')"])).toEqual(['web.test']);
    expect(await names(['true', 'true', "with('apache')"])).toEqual(['db.test', 'web.test']);
    expect(await names(['true', 'true', 'nosuch()'], shortMs)).toEqual([]);
    expect(await names(Array(40).fill('true'), shortMs)).toEqual([]);
  });
});

describe('replies are chosen on the side of the client', () => {
  const call = (replyFilter: string) =>
    client.call({
      agent: 'rpcutil',
      action: 'get_fact',
      data: { fact: 'cores' },
      targets: ['web.test', 'db.test'],
      timeoutMs: 20_000,
      replyFilter,
    });

  test('by what they hold; the others are counted', async () => {
    const { replies, statistics, filterFailures } = await call("ok() and data('value') > 4 and sender() matches '^web'");
    expect(replies.map(({ sender }) => sender)).toEqual(['web.test']);
    expect(statistics).toMatchObject({ responses: 2, ok: 2, noResponses: [] });
    expect(filterFailures).toEqual({ count: 0, reason: '' });
  });

  test('one that fails leaves a reply out, and is told', async () => {
    const { replies, statistics, filterFailures } = await call("sender() == 'db.test' or data('value') matches '8'");
    expect(replies.map(({ sender }) => sender)).toEqual(['db.test']);
    expect(statistics.responses).toBe(2);
    expect(filterFailures).toMatchObject({ count: 1, reason: expect.stringContaining("'matches' takes a string, not a number") });
  });

  test('one that makes no sense is refused before anything is sent', async () => {
    await expect(call('msg + 1')).rejects.toMatchObject({ code: 'REPLY_FILTER' });
  });
});

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

const muster = (...args: string[]): Promise<Ran> =>
  new Promise((resolve) => {
    const options = { cwd: fleet.folder, env: { ...process.env, NO_COLOR: '1' } };
    execFile(process.execPath, [main, ...args, '--config', config], options, (error, out, err) =>
      resolve({ code: error ? Number(error.code ?? 1) : 0, out, err }),
    );
  });

describe('the command line', () => {
  test('-S finds nodes, with data plugins that only they know', async () => {
    expect(await muster('find', '-S', "with('apache') and unit('cli').state == 'running'")).toMatchObject({
      code: 0,
      out: 'web.test\n',
    });
    expect((await muster('ping', '--names', '-S', "fact('cores') < 4")).out).toBe('db.test\n');
    expect((await muster('facts', 'cores', '-S', "fact('cores') > 4")).out).toContain('8 found 1 times');
  });

  test('-S with a name still asks, since a name alone does not tell whether it fits', async () => {
    expect((await muster('find', '-I', 'db.test', '-S', "with('apache')", '--discovery-timeout', '1')).out).toBe('');
    expect((await muster('req', 'rpcutil', 'ping', '-S', "with('postgres')", '--senders')).out).toBe('db.test\n');
  });

  test.each([['find'], ['ping'], ['facts', 'cores'], ['req', 'rpcutil', 'ping'], ['inventory', '--collectives']])(
    '%s refuses a broken expression and shows the place',
    async (...command) => {
      const { code, out, err } = await muster(...command, '-S', "with('apache') and fact('cores') = 8");
      expect([code, out]).toEqual([1, '']);
      expect(err).toContain(
        "'=' is not expected here; '==' compares (line 1, column 34)\n  with('apache') and fact('cores') = 8\n",
      );
      expect(err).toMatch(/^ {35}\^$/m);
    },
  );

  test('--filter-replies leaves replies out of text, JSON and summaries, not out of the statistics', async () => {
    const request = ['req', 'rpcutil', 'get_fact', 'fact=cores', '--filter-replies', "data('value') > 4"];
    const { out } = await muster(...request, '--display', 'all');
    expect(out).toContain('web.test');
    expect(out).not.toContain('db.test');
    expect(out).toContain('Finished processing 2 / 2 hosts');
    const document = JSON.parse((await muster(...request, '--json')).out);
    expect(document.replies.map(({ sender }: { sender: string }) => sender)).toEqual(['web.test']);
    expect(document.request_stats).toMatchObject({ responses: 2, ok: 2, discovered: 2 });
    const lines = (await muster(...request, '--jsonl')).out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines.filter(({ k }) => k === 'result').map(({ rr }) => rr.sender)).toEqual(['web.test']);
  });

  test('--filter-replies tells when it fails, and is refused when it makes no sense', async () => {
    const request = ['req', 'rpcutil', 'get_fact', 'fact=cores', '--senders', '--filter-replies'];
    const failed = await muster(...request, "sender() == 'db.test' or data('value').x == 1");
    expect(failed).toMatchObject({ code: 0, out: 'db.test\n' });
    expect(failed.err).toContain('warning: the reply filter failed for 1 replies: a number has no field x');
    const refused = await muster(...request, 'ok( and true');
    expect([refused.code, refused.out]).toEqual([1, '']);
    expect(refused.err).toContain('the reply filter can not be used');
  });
});
