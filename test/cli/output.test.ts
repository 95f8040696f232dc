// What the commands of operators print, in every format, and how they end.

import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runMuster } from '../support/command.ts';
import { Operator } from '../support/operator.ts';
import { scriptedNode } from '../support/scripted-node.ts';

let operator: Operator;

beforeAll(async () => {
  operator = await Operator.start();
});
afterAll(() => operator.stop());

const muster = (...args: string[]) => operator.muster(...args);

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
    expect(await muster('ping', '-C', 'green', '--timeout', '1')).toMatchObject({
      code: 1,
      err: expect.stringContaining('no node answered'),
    });
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
    expect(await muster('find', '-C', 'green', '--discovery-timeout', '1')).toMatchObject({ code: 0, out: '' });
  });

  test('reads nodes from a file', async () => {
    writeFileSync(join(operator.fleet.folder, 'nodes.txt'), 'b.test\na.test\n');
    writeFileSync(join(operator.fleet.folder, 'nodes.json'), '["a.test"]');
    expect((await muster('find', '--nodes', 'nodes.txt')).out).toBe('a.test\nb.test\n');
    expect((await muster('find', '--nodes', 'nodes.json')).out).toBe('a.test\n');
    writeFileSync(join(operator.fleet.folder, 'nodes.txt'), 'not a name\n');
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
      await scriptedNode(await operator.fleet.connection(), 'evil.test', (heard) => heard.reply({ value: red, more: [red] }));
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

  test('--jsonl prints an object a line as replies come in, and errors as well', async () => {
    const lines = (await muster(...getFact, '--jsonl')).out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { k: string });
    expect(lines.map(({ k }) => k)).toEqual(['discovery', 'discovery', 'result', 'result', 'summaries', 'stats']);
    const failed = await muster('req', 'rpcutil', 'get_fact', 'fact=site', '-C', 'green', '--discovery-timeout', '1', '--jsonl');
    expect(failed.code).toBe(0);
    expect(JSON.parse(failed.out.trim().split('\n').at(-1) ?? '')).toEqual({ k: 'error', err: 'did not discover any nodes' });
  });

  test('names those that failed; 0 all the same, 2 with --strict', async () => {
    const denied = ['req', 'rpcutil', 'agent_inventory'];
    const { code, out } = await muster(...denied, '--display', 'failed');
    expect(code).toBe(0);
    expect(out).toMatch(/b\.test +Request Aborted\n\n {4}You are not authorized to call this agent or action/);
    expect((await muster(...denied, '--strict')).code).toBe(2);
  });

  test('names those that are silent', async () => {
    const { code, out } = await muster('req', 'rpcutil', 'ping', '-I', 'a.test', '-I', 'c.test', '--timeout', '3', '--strict');
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

  test.each([
    [['req', 'no_such_agent', 'x'], 'there is no DDL for the agent no_such_agent'],
    [['req', 'rpcutil', 'dance'], 'unknown action rpcutil#dance; there are'],
    [['req', 'rpcutil', 'get_fact'], "input 'fact' is required"],
    [['req', 'rpcutil', 'get_fact', 'fact=x', 'more=y'], "input 'more' has not been declared"],
    [['req', 'rpcutil', 'get_fact', 'fact'], "could not parse input 'fact'; inputs are written as key=value"],
    [['req', 'host', 'processes', 'limit=many'], "'many' is not a valid integer"],
    [['req', 'rpcutil', 'ping', '--canary-success', '50%'], 'give --canary as well'],
    [['req', 'rpcutil', 'ping', '--limit', 'half'], "could not parse limit 'half'"],
    [['req', 'rpcutil', 'ping', '-C', 'green', '--discovery-timeout', '1'], 'did not discover any nodes'],
  ])('%j is refused before anything is sent', async (args, reason) => {
    expect(await muster(...args)).toMatchObject({ code: 1, out: '', err: expect.stringContaining(reason) });
  });

  test('shows a progress bar on a terminal', async () => {
    const command = operator
      .command(...getFact)
      .map((word) => `'${word}'`)
      .join(' ');
    const { out } = await operator.run('script', ...['-qec', `stty cols 120; ${command}`, '/dev/null']);
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
      join(operator.fleet.folder, 'gone.conf'),
      `${readFileSync(operator.config, 'utf8').replace(/middleware_hosts = .*/, 'middleware_hosts = 127.0.0.1:1')}`,
    );
    const { code, err } = await runMuster(['ping', '--config', join(operator.fleet.folder, 'gone.conf')]);
    expect([code, err]).toEqual([1, expect.stringContaining('cannot connect to nats://127.0.0.1:1')]);
  });

  test('a project’s file overrides the user’s', async () => {
    const project = join(operator.fleet.folder, 'project');
    mkdirSync(project);
    writeFileSync(join(project, 'choria.conf'), 'plugin.choria.middleware_hosts = 127.0.0.1:2\n');
    const [program, ...args] = operator.command('ping');
    const err = await new Promise<string>((resolve) => {
      execFile(program, args, { cwd: project }, (_error, _out, text) => resolve(text));
    });
    expect(err).toContain('127.0.0.1:2');
  });
});
