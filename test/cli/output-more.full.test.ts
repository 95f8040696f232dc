// Flags of operators' commands that are used less often, and what they print.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Operator } from '../support/operator.ts';

let operator: Operator;

beforeAll(async () => {
  operator = await Operator.start();
});
afterAll(() => operator.stop());

const muster = (...args: string[]) => operator.muster(...args);

describe('find', () => {
  test('tells whoever found nobody which words of an expression only some nodes know', async () => {
    const hint = 'only nodes with a data plugin withh can fit the expression of -S\n';
    expect(await muster('find', '-S', 'withh("red")', '--discovery-timeout', '1')).toEqual({ code: 0, out: '', err: hint });
    expect((await muster('req', 'rpcutil', 'ping', '-S', 'withh("red")', '--discovery-timeout', '1')).err).toContain(hint);
    expect((await muster('find', '-S', 'with("green")', '--discovery-timeout', '1')).err).toBe('');
  });
});

describe('req', () => {
  const getFact = ['req', 'rpcutil', 'get_fact', 'fact=site'];

  test('--json holds every reply, also of actions that show people none', async () => {
    expect(JSON.parse((await muster('req', 'choria_util', 'info', '-I', 'a.test', '--json')).out).replies).toHaveLength(1);
    expect((await muster('req', 'choria_util', 'info', '-I', 'a.test')).out).not.toContain('a.test');
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
    const written = readFileSync(join(operator.fleet.folder, 'result.txt'), 'utf8');
    expect(written).toContain('Finished processing 2 / 2 hosts');
    expect(written).not.toContain('a.test');
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
});

describe('facts and ping', () => {
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
});
