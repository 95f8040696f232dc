// What the dice found: messages that brought somebody down, or cost more than they should. One test for each.

import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { Peer } from '../../core/protocol/peer.ts';
import { PipeCarrier } from '../../core/protocol/pipe.ts';
import { printable } from '../../core/protocol/printable.ts';
import { Aggregator } from '../../plugins/fleet-client/aggregate.ts';
import { drawChart } from '../../plugins/fleet-client/chart.ts';
import { fixed } from '../../plugins/fleet-client/format.ts';
import { Outcomes } from '../../plugins/fleet-server/outcomes.ts';
import { compileCompound, countCompound, evaluateBool, nodeEnvironment } from '../../plugins/wire/compound.ts';
import { findAction, readDdl } from '../../plugins/wire/ddl.ts';
import { WireError } from '../../plugins/wire/errors.ts';
import { Budget } from '../../plugins/wire/expr/index.ts';
import { readLifecycleEvent, timeOfEvent } from '../../plugins/wire/lifecycle.ts';
import { compileReplyFilter } from '../../plugins/wire/reply-filter.ts';
import { RoutedMessage } from '../../plugins/wire/routing.ts';
import { readRpcReply } from '../../plugins/wire/rpc.ts';
import { isNodeName, isRequestSubject, mayReplyTo } from '../../plugins/wire/subjects.ts';
import { until } from '../support/folders.ts';

describe('a plugin', () => {
  test.each(['null', '5', '"x"', '[]', '{}', '{"id":null}'])(
    'that tells of progress with %s does not end its host',
    async (params) => {
      const [input, output] = [new PassThrough(), new PassThrough()];
      output.resume();
      const heard: string[] = [];
      const peer = new Peer({
        carrier: new PipeCarrier({ input, output, bytes: { 'a/b': { progress: [['data']] } } }),
        onRequest: (method) => {
          heard.push(method);
          return {};
        },
        onViolation: () => undefined,
      });
      input.write(
        `{"jsonrpc":"2.0","method":"$/progress","params":${params}}\n{"jsonrpc":"2.0","id":1,"method":"next","params":{}}\n`,
      );
      await until('the next line is heard', () => heard.includes('next'));
      peer.close(new Error('enough'));
    },
  );
});

describe('a request of a plugin', () => {
  test.each(['5', '[1]', '{"depth":{"toString":1}}', '{"deadlineMs":"soon"}', '{"trace":{}}', '{"plugin":7}'])(
    'with %s beside its params is no request, and the next one is heard',
    async (meta) => {
      const [input, output] = [new PassThrough(), new PassThrough()];
      output.resume();
      const [heard, violations]: [string[], string[]] = [[], []];
      const peer = new Peer({
        carrier: new PipeCarrier({ input, output }),
        onRequest: (method) => {
          heard.push(method);
          return {};
        },
        onViolation: (what) => void violations.push(what),
      });
      input.write(
        `{"jsonrpc":"2.0","id":1,"method":"bad","params":{},"_meta":${meta}}\n{"jsonrpc":"2.0","id":2,"method":"next","params":{}}\n`,
      );
      await until('the next line is heard', () => heard.includes('next'));
      peer.close(new Error('enough'));
      expect([heard, violations.length]).toEqual([['next'], 1]);
    },
  );
});

describe('a federated message', () => {
  test.each(['{"toString":1}', '"constructor"', '"toString"', '["choria:transport:1"]', 'null'])(
    'whose protocol is %s is of no known version',
    (protocol) => {
      const payload = Buffer.from(`{"protocol":${protocol},"data":"e30=","headers":{}}`);
      expect(() => new RoutedMessage(payload)).toThrow(expect.objectContaining({ code: 'WIRE_VERSION' }));
    },
  );
});

describe('a subject', () => {
  test('that is longer than a line of the broker takes is none for replies, since the broker would hang up', () => {
    expect(mayReplyTo('mcollective.reply.a.b')).toBe(true);
    expect(mayReplyTo(`mcollective.reply.${'x'.repeat(1_000)}`)).toBe(true);
    expect(mayReplyTo(`mcollective.reply.${'x'.repeat(5_000)}`)).toBe(false);
    expect(isRequestSubject(`mcollective.node.${'x'.repeat(5_000)}`)).toBe(false);
  });

  test('has no control characters', () => {
    for (const char of ['\0', '\x01', '\x1b', '\x7f', '\r', '\n', ' ']) {
      expect(mayReplyTo(`mcollective.reply.a${char}b`)).toBe(false);
      expect(isRequestSubject(`mcollective.node.a${char}b`)).toBe(false);
      expect(isNodeName(`a${char}b`)).toBe(false);
    }
  });

  test('of a node has a name that a host can have', () => {
    expect(isNodeName('a_b-c.example.test')).toBe(true);
    expect(isNodeName('n'.repeat(253))).toBe(true);
    expect(isNodeName('n'.repeat(254))).toBe(false);
  });
});

describe('a reply', () => {
  test('with a status that is no whole number is none, and no filter of replies fails for it', () => {
    expect(() => readRpcReply('{"statuscode":0.5,"statusmsg":"OK","data":{}}')).toThrow('this is no RPC reply');
    expect(() => readRpcReply('{"statuscode":1e300,"statusmsg":"OK","data":{}}')).toThrow('this is no RPC reply');
    const reply = readRpcReply('{"statuscode":-1,"statusmsg":"OK","data":{}}');
    expect(compileReplyFilter('code < 0')({ ...reply, sender: 'a', time: new Date() })).toBe(true);
  });

  test('with data that has no bottom is refused before anybody walks through it', () => {
    const nested = (depth: number) => `{"statuscode":0,"data":${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}}`;
    expect(readRpcReply(nested(399)).statuscode).toBe(0);
    expect(() => readRpcReply(nested(100_000))).toThrow('the data of this reply is nested deeper than 400 levels');
  });
});

describe('a summary', () => {
  test('of numbers near nothing is drawn', () => {
    expect(drawChart([5e-324, 0, 1e-200])).toContain('┤');
    expect(() => drawChart([1e308, -1e308, 5e-324])).not.toThrow();
    expect(fixed(1, 500)).toMatch(/^1\.0{40}$/);
  });

  test('is not as wide as the longest value on every line', () => {
    const output = { text: { description: 'x', display_as: 'x' } };
    const metadata = { name: 'x', description: 'x', author: 'x', license: 'x', version: '1.0.0', url: 'x', timeout: 1 };
    const aggregate = [{ function: 'summary', args: ['text'] }];
    const action = { action: 'go', description: 'x', display: 'always', input: {}, output, aggregate };
    const aggregator = new Aggregator(findAction(readDdl({ metadata, actions: [action] }, 'test'), 'go'));
    aggregator.add({ text: 'x'.repeat(100_000) });
    for (let index = 0; index < 1_000; index += 1) aggregator.add({ text: `v${index}` });
    const [summary] = aggregator.results();
    expect(summary?.lines.join('').length).toBeLessThan(200_000);
  });
});

test('an expression that is no text fits nobody', () => {
  const entries = [5, null, {}, [], { toString: 1 }].map((expr) => [{ expr: expr as unknown as string }]);
  const evaluate = (source: string) =>
    evaluateBool(
      compileCompound(source, []),
      nodeEnvironment({ identity: 'a', agents: [], classes: [], facts: {} }, [], () => null),
      new Budget(),
      0,
    );
  for (const entry of entries) expect(countCompound([entry], evaluate)).toBe(false);
});

test.each([
  [1_700_000_000, '2023-11-14T22:13:20.000Z'],
  [-1, '1969-12-31T23:59:59.000Z'],
  [1e300, undefined],
  [8.64e15, undefined],
  ['soon', undefined],
  [null, undefined],
  [{}, undefined],
  [{ toString: 1, valueOf: 1 }, undefined],
])('an event with the time %j happened at %s', (timestamp, time) => {
  const event = { protocol: 'io.choria.lifecycle.v1.startup', id: 'x', identity: 'a', component: 'server', timestamp };
  const told = readLifecycleEvent(JSON.stringify(event));
  if (!told) throw new Error('the event was not read');
  expect(timeOfEvent(told.event)).toBe(time);
});

test('an event whose id is no text is none', () => {
  const event = { protocol: 'io.choria.lifecycle.v1.startup', id: {}, identity: 'a', component: 'server', timestamp: 1 };
  expect(readLifecycleEvent(JSON.stringify(event))).toBeUndefined();
});

test('what is wrong with a message is said in a short line, whatever stands in the message', () => {
  expect(new WireError('WIRE_BODY', 'x'.repeat(1_000_000)).message).toHaveLength(400);
  const outcomes = new Outcomes();
  outcomes.tell('a', 'filtered', 'x'.repeat(1_000_000));
  expect(outcomes.why('a')[0]?.reason).toHaveLength(400);
});

test('text of others is printed without what moves a terminal, and JSON stays what it was', () => {
  expect(printable('a\tb\r\nc\n')).toBe('a\tb\nc\n');
  expect(printable('é 😀 ä 中 \u00a0')).toBe('é 😀 ä 中 \u00a0');
  expect(printable('\x1b[31m\x07\x00\x7f\x9b2J\u202e\r')).toBe('\\u001b[31m\\u0007\\u0000\\u007f\\u009b2J\\u202e\\u000d');
  const value = { text: '\x9b\u202e\x7f\x1b "quoted"' };
  expect(JSON.parse(printable(JSON.stringify(value)))).toEqual(value);
});
