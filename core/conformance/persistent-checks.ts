// The checks of a plugin that is kept: each starts the plugin anew and says in one sentence what does not hold.

import { setTimeout as sleep } from 'node:timers/promises';
import { decodeBytes, pathsOf } from '../protocol/bytes.ts';
import type { Contract } from '../protocol/contract.ts';
import { errorCodes } from '../protocol/errors.ts';
import { type Conversation, Failed } from './conversation.ts';
import type { Check } from './kit.ts';
import { sampleOf } from './sample.ts';

const manyAtOnce = 32;
/** Time for an answer that should not come. */
const quietMs = 100;

export const persistentChecks: readonly Check[] = [
  {
    name: 'handshake',
    what: 'initialize is answered with protocol 1 and a version',
    run: async ({ talk }) => {
      const { error, result } = await talk.initialize();
      if (error) throw new Failed(`initialize was answered with an error: ${error.message}`);
      const { protocol, version } = (result ?? {}) as { protocol?: unknown; version?: unknown };
      if (protocol !== 1) throw new Failed(`the answer names protocol ${JSON.stringify(protocol)}, not 1`);
      if (version !== undefined && typeof version !== 'string')
        throw new Failed(`the version is ${JSON.stringify(version)}, not text`);
    },
  },
  {
    name: 'protocol-range',
    what: 'a host of another protocol is refused with an error',
    run: async ({ talk }) => {
      const { error } = await talk.initialize({ min: 98, max: 99 });
      if (!error) throw new Failed('initialize with the protocols 98 to 99 was answered with a result');
    },
  },
  { name: 'activate', what: 'activate is answered, if it was asked for', run: async ({ talk }) => void (await talk.start()) },
  {
    name: 'ping',
    what: 'ping is answered with a result',
    run: async ({ talk }) => {
      await talk.start();
      await talk.expectResult('ping', {});
    },
  },
  {
    name: 'unknown-method',
    what: `an unknown method gets error ${errorCodes.UNKNOWN_METHOD}`,
    run: async ({ talk }) => {
      await talk.start();
      const { error } = await talk.ask('no/such-method', {});
      if (error?.code !== errorCodes.UNKNOWN_METHOD)
        throw new Failed(`no/such-method was answered with ${error ? `error ${error.code}` : 'a result'}`);
      await talk.expectAlive('an unknown method');
    },
  },
  {
    name: 'unknown-notification',
    what: 'an unknown notification is passed over in silence',
    run: async ({ talk }) => {
      await talk.start();
      talk.send({ jsonrpc: '2.0', method: '$/no-such-notification', params: {} });
      talk.send({ jsonrpc: '2.0', method: '$/cancel', params: { id: 999_999 } });
      await talk.expectAlive('an unknown notification');
      if (talk.strays.length > 0) throw new Failed('a notification was answered');
    },
  },
  {
    name: 'bad-json',
    what: `a line that is not JSON gets error ${errorCodes.PARSE} with id null`,
    run: async ({ talk }) => {
      await talk.start();
      talk.write('{"jsonrpc":"2.0","id":9,\n');
      await talk.expectRefusal(errorCodes.PARSE, 'a line that is not JSON');
      await talk.expectAlive('a line that is not JSON');
    },
  },
  {
    name: 'no-message',
    what: `JSON that is no message gets error ${errorCodes.INVALID} with id null`,
    run: async ({ talk }) => {
      await talk.start();
      talk.write('[1,2,3]\n');
      await talk.expectRefusal(errorCodes.INVALID, 'an array');
      await talk.expectAlive('an array');
    },
  },
  {
    name: 'split-lines',
    what: 'a line may come in pieces, and end in CRLF',
    run: async ({ talk }) => {
      await talk.start();
      const id = talk.nextId();
      const answer = talk.expectAnswer(id, 'a ping in three pieces');
      const line = Buffer.from(`${JSON.stringify({ jsonrpc: '2.0', id, method: 'ping', params: { note: 'äöü€' } })}\r\n`);
      for (const [from, to] of [
        [0, 10],
        [10, line.length - 5],
        [line.length - 5, line.length],
      ] as const) {
        talk.write(line.subarray(from, to));
        await sleep(20);
      }
      await answer;
    },
  },
  {
    name: 'joined-lines',
    what: 'several lines may come in one piece, blank ones between',
    run: async ({ talk }) => {
      await talk.start();
      const ids = [talk.nextId(), talk.nextId(), talk.nextId()];
      const answers = ids.map((id) => talk.expectAnswer(id, 'one of three pings in one piece'));
      talk.write(`${ids.map((id) => JSON.stringify({ jsonrpc: '2.0', id, method: 'ping', params: {} })).join('\n\n')}\n`);
      await Promise.all(answers);
    },
  },
  {
    name: 'oversized-line',
    what: 'a line beyond the limit is skipped, and the next one answered',
    run: async ({ talk }) => {
      await talk.start();
      talk.write(`{"jsonrpc":"2.0","id":888888,"method":"ping","params":{"pad":"${'x'.repeat(talk.maxLineBytes)}"}}\n`);
      await talk.expectAlive('a line beyond the limit');
    },
  },
  {
    name: 'unknown-members',
    what: 'members that are not known are ignored',
    run: async ({ talk }) => {
      await talk.start();
      const id = talk.nextId();
      const answer = talk.expectAnswer(id, 'a ping with unknown members');
      talk.send({
        jsonrpc: '2.0',
        id,
        method: 'ping',
        params: { future: true },
        _meta: { deadlineMs: 5_000, future: 1 },
        future: { x: 1 },
      });
      const { error } = await answer;
      if (error) throw new Failed(`it was answered with an error: ${error.message}`);
    },
  },
  {
    name: 'contract',
    what: "each method of the kind answers as the kind's contract says, or with an error",
    run: async ({ talk, subject: { contract } }) => {
      if (!contract) return;
      await talk.start();
      for (const [name, { params }] of methodsOf(contract)) {
        const { result, error } = await talk.ask(name, sampleOf(params));
        if (error) checkError(name, error);
        else checkResult(contract, name, result);
      }
      await talk.expectAlive('calls of every method');
    },
  },
  {
    name: 'concurrent',
    what: `${manyAtOnce} calls at once are each answered, and pings meanwhile`,
    run: async ({ talk, subject: { contract } }) => {
      await talk.start();
      const [method] = contract ? methodsOf(contract) : [];
      const answers = Array.from({ length: manyAtOnce }, () =>
        method ? talk.begin(method[0], sampleOf(method[1].params)).answer : talk.begin('ping', {}).answer,
      );
      await talk.expectAlive(`${manyAtOnce} calls were sent`);
      await Promise.all(answers);
    },
  },
  {
    name: 'cancel',
    what: 'a call that is cancelled is answered once, with a result or error -32800',
    run: async ({ talk, subject: { contract } }) => {
      await talk.start();
      const [method] = contract ? methodsOf(contract).slice(-1) : [];
      const { id, answer } = method ? talk.begin(method[0], sampleOf(method[1].params)) : talk.begin('ping', {});
      talk.send({ jsonrpc: '2.0', method: '$/cancel', params: { id } });
      await answer;
      await talk.expectAlive('a cancelled call');
    },
  },
  {
    name: 'deadline',
    what: 'a call whose time is up is answered all the same, and the plugin goes on',
    run: async ({ talk, subject: { contract } }) => {
      await talk.start();
      for (const [name, { params }] of contract ? methodsOf(contract) : []) {
        const { id, answer } = talk.begin(name, sampleOf(params), 5_000, { deadlineMs: 1 });
        await sleep(5);
        talk.send({ jsonrpc: '2.0', method: '$/cancel', params: { id } });
        await answer;
      }
      await talk.expectAlive('a call whose time was up');
    },
  },
  {
    name: 'answers-once',
    what: 'no request is answered twice, and none that was never sent',
    run: async ({ talk, subject: { contract } }) => {
      await talk.start();
      await callEveryMethod(talk, contract);
      await talk.ask('ping', {});
      await sleep(quietMs);
      const [stray] = talk.strays;
      if (stray) throw new Failed(`request ${JSON.stringify(stray.id)} was answered a second time, or never sent`);
    },
  },
  {
    name: 'stdout',
    what: 'stdout holds nothing but messages of the protocol',
    run: async ({ talk, subject: { contract } }) => {
      await talk.start();
      await callEveryMethod(talk, contract);
      await shutDown(talk);
      const [line] = talk.noise;
      if (line !== undefined) throw new Failed(`it printed: ${line.slice(0, 100)}`);
    },
  },
  {
    name: 'crash',
    what: 'after a kill -9 it starts again, with what it left behind',
    run: async ({ talk, again }) => {
      await talk.start();
      talk.kill('SIGKILL');
      await talk.expectExit('kill -9');
      const next = again();
      await next.start();
      await next.expectAlive('a crash of the one before');
    },
  },
  {
    name: 'shutdown',
    what: 'shutdown is answered; then, with stdin closed, it exits with 0',
    run: async ({ talk }) => {
      await talk.start();
      await talk.expectResult('shutdown', {});
      talk.endInput();
      const { code, signal } = await talk.expectExit('shutdown');
      if (code !== 0) throw new Failed(`it ended with ${signal ?? `exit ${code}`}, not with exit 0`);
    },
  },
  {
    name: 'stdin-end',
    what: 'the end of stdin alone ends it',
    run: async ({ talk }) => {
      await talk.start();
      talk.endInput();
      await talk.expectExit('the end of stdin');
    },
  },
  {
    name: 'leaves-nothing',
    what: 'no process is left behind when it has ended',
    run: async ({ talk, subject: { contract } }) => {
      await talk.start();
      await callEveryMethod(talk, contract);
      await shutDown(talk);
      if (await talk.leavesSomethingBehind()) throw new Failed('a process that it started is still running');
    },
  },
];

async function callEveryMethod(talk: Conversation, contract: Contract | undefined): Promise<void> {
  for (const [name, { params }] of contract ? methodsOf(contract) : []) await talk.ask(name, sampleOf(params));
}

async function shutDown(talk: Conversation): Promise<void> {
  await talk.expectResult('shutdown', {});
  talk.endInput();
  await talk.expectExit('shutdown');
}

function methodsOf(contract: Contract) {
  return Object.entries(contract.document.methods);
}

function checkResult(contract: Contract, name: string, result: unknown): void {
  try {
    contract.methods.get(name)?.checkResult(contract.bytes[name] ? withBytes(result, contract, name) : result);
  } catch (error) {
    throw new Failed((error as Error).message);
  }
}

function withBytes(result: unknown, contract: Contract, name: string): unknown {
  return decodeBytes(structuredClone(result), pathsOf(contract.bytes, name, 'result'));
}

function checkError(name: string, error: { code: unknown; message: unknown }): void {
  if (!Number.isInteger(error.code) || typeof error.message !== 'string' || error.message === '')
    throw new Failed(`the error of ${name} has no integer code or no message`);
}
