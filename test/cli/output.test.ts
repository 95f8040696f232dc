// What the commands of operators print, in every format, and how they end.

import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { Fleet } from '../support/fleet.ts';
import { scriptedNode } from '../support/scripted-node.ts';

const main = join(distributionRoot(), 'core/cli/main.js');
let fleet: Fleet;
let config: string;

beforeAll(async () => {
  fleet = await Fleet.start();
  await Promise.all([
    fleet.node('a.test', { facts: { site: 'oslo', size: 1 }, classes: ['red'] }),
    fleet.node('b.test', {
      facts: { site: 'oslo', size: 3 },
      classes: ['blue'],
      policies: { rpcutil: ['policy default deny', 'allow\t*\tget_fact ping inventory daemon_stats collective_info\t*\t*'] },
    }),
  ]);
  config = join(fleet.folder, 'client.conf');
  const values = {
    ...(await fleet.certificate('operator.mcollective')),
    identity: 'operator.mcollective',
    discovery_timeout: 1,
    'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
  };
  writeFileSync(
    config,
    Object.entries(values)
      .map(([key, value]) => `${key} = ${value}\n`)
      .join(''),
  );
}, 60_000);
afterAll(() => fleet.stop());

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function run(program: string, args: readonly string[]): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(program, args, { cwd: fleet.folder, env: { ...process.env, NO_COLOR: '1' } }, (error, out, err) =>
      resolve({ code: error ? Number(error.code ?? 1) : 0, out, err }),
    );
  });
}

const muster = (...args: string[]) => run(process.execPath, [main, ...args, '--config', config]);

describe('ping', () => {
  test('prints a line for each node and statistics', async () => {
    const { code, out } = await muster('ping');
    expect(code).toBe(0);
    expect(out).toMatch(/^[ab]\.test {34} time=\d+ ms$/m);
    expect(out).toMatch(
      /---- ping statistics ----\n2 replies max: [\d.]+m?s min: [\d.]+m?s avg: [\d.]+m?s overhead: [\d.]+m?s\n$/,
    );
  });

  test('--names prints names alone, --json a document', async () => {
    expect((await muster('ping', '--names')).out.trim().split('\n').sort()).toEqual(['a.test', 'b.test']);
    expect(JSON.parse((await muster('ping', '--json')).out)).toMatchObject({ statistics: { replies: 2 }, duplicates: [] });
  });

  test('ends with 1 when nobody answers', async () => {
    expect(await muster('ping', '-C', 'green')).toMatchObject({ code: 1, err: expect.stringContaining('no node answered') });
  });

  test.each([
    [['--timeout', '0'], 'a ping can not be given 0 s'],
    [['--timeout', '-3'], 'a ping can not be given -3 s'],
    [['--expect', '0'], 'a ping can not end after 0 answers'],
    [['--expect', '1.5'], 'a ping can not end after 1.5 answers'],
  ])('refuses %j at once', async (flags, message) => {
    expect(await muster('ping', ...flags)).toEqual({ code: 1, out: '', err: expect.stringContaining(message) });
  });
});

describe('find', () => {
  test('prints names, or a JSON array; nobody is no error', async () => {
    expect((await muster('find', '-F', 'size>2')).out).toBe('b.test\n');
    expect(JSON.parse((await muster('find', '--json')).out)).toEqual(['a.test', 'b.test']);
    expect(await muster('find', '-C', 'green')).toMatchObject({ code: 0, out: '' });
  });

  test('reads nodes from a file', async () => {
    writeFileSync(join(fleet.folder, 'nodes.txt'), 'b.test\na.test\n');
    writeFileSync(join(fleet.folder, 'nodes.json'), '["a.test"]');
    expect((await muster('find', '--nodes', 'nodes.txt')).out).toBe('a.test\nb.test\n');
    expect((await muster('find', '--nodes', 'nodes.json')).out).toBe('a.test\n');
    writeFileSync(join(fleet.folder, 'nodes.txt'), 'not a name\n');
    expect(await muster('find', '--nodes', 'nodes.txt')).toMatchObject({
      code: 1,
      err: expect.stringContaining("nodes.txt: 'not a name' is no node name"),
    });
  });

  test('says what is wrong with a filter', async () => {
    expect(await muster('find', '-F', 'size')).toMatchObject({
      code: 1,
      err: expect.stringContaining("'size' is no fact filter"),
    });
  });

  test.each([
    ['-F', 'site=/(/'],
    ['-C', '/(?=a)/'],
    ['-A', '/[/'],
    ['-I', '/*/'],
  ])('says that a pattern of %s is none, which nodes would be silent about', async (flag, text) => {
    const written = text.replace(/^site=/, '');
    expect(await muster('find', flag, text)).toEqual({
      code: 1,
      out: '',
      err: expect.stringContaining(`'${written}' is no pattern that nodes can use: `),
    });
  });

  test('tells whoever found nobody which words of an expression only some nodes know', async () => {
    const hint = 'only nodes with a data plugin withh can fit the expression of -S\n';
    expect(await muster('find', '-S', 'withh("red")')).toEqual({ code: 0, out: '', err: hint });
    expect((await muster('req', 'rpcutil', 'ping', '-S', 'withh("red")')).err).toContain(hint);
    expect((await muster('find', '-S', 'with("green")')).err).toBe('');
  });

  test('does not wait for no time at all', async () => {
    const { code, err } = await muster('find', '--discovery-timeout', '0');
    expect([code, err]).toEqual([1, expect.stringContaining('discovery can not be given 0 s')]);
  });
});

describe('req', () => {
  const getFact = ['req', 'rpcutil', 'get_fact', 'fact=site'];

  // What Choria's client prints for the same replies.
  const printed = `a.test                                   

    Fact: site
   Value: oslo

b.test                                   

    Fact: site
   Value: oslo

Summary of Value:

   oslo: 2


Finished processing 2 / 2 hosts in TIME
`;

  test('prints replies, a summary and what was processed', async () => {
    const { code, out } = await muster(...getFact, '--sort');
    expect(code).toBe(0);
    expect(out.replace(/[\d.]+m?s$/m, 'TIME')).toBe(printed);
  });

  test('prints replies as they come, unless they are to be sorted', async () => {
    const [head = '', ...texts] = (await muster(...getFact)).out.split(/(?=^[ab]\.test |^Summary)/m);
    expect([head, ...texts].slice(0, 2).toSorted().join('')).toBe(printed.slice(0, printed.indexOf('Summary')));
  });

  test('prints lists and objects as JSON beside their name', async () => {
    const { out } = await muster('req', 'rpcutil', 'inventory', '-I', 'a.test', '--display', 'all');
    expect(out).toContain('           Classes: ["red"]\n   All Collectives: ["mcollective"]\n');
    expect(out).toContain(`
             Facts: {
                      "site": "oslo",
                      "size": 1
                    }
`);
  });

  test.each([[[]], [['--table']], [['-v']]])(
    'spells out control characters, which would act on the terminal: %j',
    async (flags) => {
      const red = '\u001b[31mred\u009b\rover';
      await scriptedNode(await fleet.connection(), 'evil.test', (heard) => heard.reply({ value: red, more: [red] }));
      const { out } = await muster('req', 'rpcutil', 'get_fact', 'fact=site', '-I', 'evil.test', ...flags);
      expect(out).toContain('[31mred\\u009b');
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what must not get through
      expect(out).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f]/);
    },
  );

  test('--json prints the document that scripts of Choria read', async () => {
    const document = JSON.parse((await muster(...getFact, '--json')).out);
    expect(document).toMatchObject({
      agent: 'rpcutil',
      action: 'get_fact',
      request_stats: {
        requestid: expect.stringMatching(/^[0-9a-f]{32}$/),
        no_responses: [],
        unexpected_responses: [],
        discovered: 2,
        failed: 0,
        ok: 2,
        responses: 2,
      },
      summaries: { value: { oslo: 2 } },
    });
    const [reply] = document.replies;
    expect(reply).toMatchObject({
      action: 'get_fact',
      statuscode: 0,
      statusmsg: 'OK',
      data: { fact: 'site', value: 'oslo' },
      time_utc: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
    });
    for (const name of ['publish_time', 'request_time', 'discover_time'])
      expect(Number.isInteger(document.request_stats[name])).toBe(true);
  });

  test('--json holds every reply, also of actions that show people none', async () => {
    expect(JSON.parse((await muster('req', 'choria_util', 'info', '-I', 'a.test', '--json')).out).replies).toHaveLength(1);
    expect((await muster('req', 'choria_util', 'info', '-I', 'a.test')).out).not.toContain('a.test');
  });

  test('--jsonl prints an object a line as replies come in, and errors as well', async () => {
    const lines = (await muster(...getFact, '--jsonl')).out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { k: string });
    expect(lines.map(({ k }) => k)).toEqual(['discovery', 'discovery', 'result', 'result', 'summaries', 'stats']);
    const failed = await muster('req', 'rpcutil', 'get_fact', 'fact=site', '-C', 'green', '--jsonl');
    expect(failed.code).toBe(0);
    expect(JSON.parse(failed.out.trim().split('\n').at(-1) ?? '')).toEqual({ k: 'error', err: 'did not discover any nodes' });
  });

  test('--table and --senders show who succeeded', async () => {
    expect((await muster(...getFact, '--table')).out).toMatch(/^Sender +Fact +Value *\n[ab]\.test +site +oslo/);
    expect((await muster(...getFact, '--senders')).out.trim().split('\n').sort()).toEqual(['a.test', 'b.test']);
    expect((await muster(...getFact, '--senders', '--sort')).out).toBe('a.test\nb.test\n');
    expect(JSON.parse((await muster(...getFact, '--senders', '--json')).out).sort()).toEqual(['a.test', 'b.test']);
  });

  test('-o writes to a file, --display none shows no reply', async () => {
    const { out } = await muster(...getFact, '-o', 'result.txt', '--display', 'none');
    expect(out).toBe('');
    expect((await muster(...getFact, '-o', 'no/such/folder')).err).toContain('no/such/folder can not be written');
    const written = readFileSync(join(fleet.folder, 'result.txt'), 'utf8');
    expect(written).toContain('Finished processing 2 / 2 hosts');
    expect(written).not.toContain('a.test');
  });

  test('names those that failed; 0 all the same, 2 with --strict', async () => {
    const denied = ['req', 'rpcutil', 'agent_inventory'];
    const { code, out } = await muster(...denied, '--display', 'failed');
    expect(code).toBe(0);
    expect(out).toMatch(/b\.test +Request Aborted\n\n {4}You are not authorized to call this agent or action/);
    expect((await muster(...denied, '--strict')).code).toBe(2);
  });

  test('names those that are silent', async () => {
    const { code, out } = await muster('req', 'rpcutil', 'ping', '-I', 'a.test', '-I', 'c.test', '--timeout', '0.5', '--strict');
    expect(code).toBe(2);
    expect(out).toMatch(/Finished processing 1 \/ 2 hosts[\s\S]*No Responses from: 1\n\n {4}c\.test\n/);
  });

  test('-v prints the data as they came, and what happened when', async () => {
    const { out } = await muster('req', 'rpcutil', 'get_fact', 'fact=site', '-I', 'a.test', '-v');
    // Choria's text, with the id of the request, by which it can be found on nodes.
    const expected = `a.test                                   

   {
      "fact": "site",
      "value": "oslo"
   }
Summary of Value:

   oslo: 1


---- request stats ----
             Request: ID
               Nodes: 1 / 1
         Pass / Fail: 1 / 0
        No Responses: 0
Unexpected Responses: 0
          Start Time: START
      Discovery Time: TIME
        Publish Time: TIME
          Agent Time: TIME
          Total Time: TIME
`;
    const masked = out
      .replace(/[0-9a-f]{32}/, 'ID')
      .replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+0000/, 'START')
      .replace(/[\d.]+(µs|ms|s)$/gm, 'TIME');
    expect(masked).toBe(expected);
  });

  test('names of silent nodes stand in three columns', async () => {
    const names = ['a.x', 'bb.x', 'ccc.x', 'dddddddddddddd.x', 'e.x'];
    const { out } = await muster('req', 'rpcutil', 'ping', ...names.flatMap((name) => ['-I', name]), '--timeout', '0.2');
    expect(out).toContain(`
Finished processing 0 / 5 hosts in `);
    expect(out).toContain(`

No Responses from: 5

    a.x                 bb.x    ccc.x
    dddddddddddddd.x    e.x
`);
  });

  test('--jsonl has the message of each reply beside it', async () => {
    const lines = (await muster('req', 'rpcutil', 'get_fact', 'fact=site', '-I', 'a.test', '--jsonl')).out.trim().split('\n');
    const result = JSON.parse(lines[2] ?? '');
    expect(result).toEqual({
      k: 'result',
      pr: {
        protocol: 'choria:reply:1',
        message: expect.stringContaining('"value":"oslo"'),
        envelope: {
          requestid: expect.stringMatching(/^[0-9a-f]{32}$/),
          senderid: 'a.test',
          agent: 'rpcutil',
          time: expect.any(Number),
        },
      },
      rr: {
        action: 'get_fact',
        statuscode: 0,
        statusmsg: 'OK',
        data: { fact: 'site', value: 'oslo' },
        sender: 'a.test',
        time_utc: expect.stringMatching(/Z$/),
      },
    });
    expect(Object.keys(result.rr)).toEqual(['action', 'statuscode', 'statusmsg', 'data', 'sender', 'time_utc']);
  });

  test('a canary that fails ends it with 3 and names those that were not asked, in text and JSON', async () => {
    const denied = ['req', 'rpcutil', 'get_data', 'source=nothing', '-I', 'a.test', '-I', 'b.test', '--canary', '1'];
    const { code, out, err } = await muster(...denied);
    expect(code).toBe(3);
    expect(out).toMatch(/\nCanary failed: 0 of 1 nodes succeeded, 1 had to\n\nNot asked: 1\n\n {4}b\.test\n$/);
    expect(err).toContain('1 nodes were not asked');
    const document = JSON.parse((await muster(...denied, '--json')).out);
    expect(document.canary).toEqual({ asked: 1, ok: 0, needed: 1, passed: false });
    expect(document.request_stats.not_asked).toEqual(['b.test']);
    expect((await muster(...denied, '--canary-success', '0%')).code).toBe(0);
  });

  test.each([
    [['req', 'no_such_agent', 'x'], 'there is no DDL for the agent no_such_agent'],
    [['req', 'rpcutil', 'dance'], 'unknown action rpcutil#dance; there are'],
    [['req', 'rpcutil', 'get_fact'], "input 'fact' is required"],
    [['req', 'rpcutil', 'get_fact', 'fact=x', 'more=y'], "input 'more' has not been declared"],
    [['req', 'rpcutil', 'get_fact', 'fact'], "could not parse input 'fact'; inputs are written as key=value"],
    [['req', 'host', 'processes', 'limit=many'], "'many' is not a valid integer"],
    [['req', 'rpcutil', 'ping', '--canary-success', '50%'], 'give --canary as well'],
    [['req', 'rpcutil', 'ping', '--limit', 'half'], "could not parse limit 'half'"],
    [['req', 'rpcutil', 'ping', '-C', 'green'], 'did not discover any nodes'],
  ])('%j is refused before anything is sent', async (args, reason) => {
    expect(await muster(...args)).toMatchObject({ code: 1, out: '', err: expect.stringContaining(reason) });
  });

  test('shows a progress bar on a terminal', async () => {
    const command = [process.execPath, main, ...getFact, '--config', config].map((word) => `'${word}'`).join(' ');
    const { out } = await run('script', ['-qec', `stty cols 120; ${command}`, '/dev/null']);
    expect(out).toMatch(/2 \/ 2 \[=+\] 100%/);
  });
});

describe('facts, inventory and why', () => {
  test('facts counts values', async () => {
    expect((await muster('facts', 'size')).out).toMatch(
      /Report for fact: size\n\n {2}[13] found 1 times\n {2}[13] found 1 times\n\nFinished processing 2 \/ 2 hosts/,
    );
    expect(JSON.parse((await muster('facts', 'site', '--json')).out)).toEqual({
      oslo: { count: 2, identities: ['a.test', 'b.test'] },
    });
  });

  test('facts aligns values, lists nodes, or prints a table', async () => {
    // As Choria's client does.
    expect((await muster('facts', 'site', '-n')).out.replace(/[\d.]+m?s$/m, 'TIME')).toBe(`Report for fact: site

  oslo found 2 times

    a.test
    b.test


Finished processing 2 / 2 hosts in TIME
`);
    expect((await muster('facts', 'site', '--table', '-n')).out).toMatch(
      /^Fact +Matches +Nodes *\noslo +2 +a\.test *\n +b\.test *\n$/,
    );
    expect((await muster('facts', 'size', '--json', '-r')).code).toBe(0);
  });

  test('ping --graph draws how many answered in each 50 ms', async () => {
    const { out } = await muster('ping', '--graph', '-I', 'a.test');
    expect(out).toMatch(/\n {30}Responses per 50ms\n\n$/);
    expect(out).toMatch(/^ 1\.00 +┼/m);
  });

  test('inventory tells what a node is', async () => {
    const { out } = await muster('inventory', 'a.test');
    expect(out).toMatch(/Inventory for a\.test[\s\S]*Collectives: mcollective[\s\S]*rpcutil[\s\S]*red[\s\S]*"site": "oslo"/);
    expect(await muster('inventory', 'c.test')).toMatchObject({ code: 1, err: expect.stringContaining('c.test did not answer') });
    expect(JSON.parse((await muster('inventory', '--collectives', '--json')).out)).toEqual({ mcollective: 2 });
  });

  test('why tells what became of a request', async () => {
    const { request_stats } = JSON.parse((await muster('req', 'rpcutil', 'ping', '--json')).out) as {
      request_stats: { requestid: string };
    };
    expect((await muster('why', request_stats.requestid, '-I', 'a.test')).out).toMatch(
      /a\.test:\n {2}\S+ replied: it was answered/,
    );
    expect((await muster('why', 'f'.repeat(32), '-I', 'a.test')).out).toContain('no request with this id reached a.test');
  });
});

describe('configuration of a client', () => {
  test('a broker that is not there is named', async () => {
    writeFileSync(
      join(fleet.folder, 'gone.conf'),
      `${readFileSync(config, 'utf8').replace(/middleware_hosts = .*/, 'middleware_hosts = 127.0.0.1:1')}`,
    );
    const { code, err } = await run(process.execPath, [main, 'ping', '--config', join(fleet.folder, 'gone.conf')]);
    expect([code, err]).toEqual([1, expect.stringContaining('cannot connect to nats://127.0.0.1:1')]);
  });

  test('a project’s file overrides the user’s', async () => {
    const project = join(fleet.folder, 'project');
    mkdirSync(project);
    writeFileSync(join(project, 'choria.conf'), 'plugin.choria.middleware_hosts = 127.0.0.1:2\n');
    const { err } = await new Promise<Ran>((resolve) =>
      execFile(process.execPath, [main, 'ping', '--config', config], { cwd: project }, (_error, out, text) =>
        resolve({ code: 1, out, err: text }),
      ),
    );
    expect(err).toContain('127.0.0.1:2');
  });
});
