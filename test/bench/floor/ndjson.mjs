// The least that a call over a pipe can cost: a line of JSON to a child and one back, parsed and serialised at both ends.

import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';

function lines(stream, take) {
  let rest = '';
  stream.setEncoding('utf8').on('data', (chunk) => {
    const parts = (rest + chunk).split('\n');
    rest = parts.pop();
    for (const line of parts) take(JSON.parse(line));
  });
}

if (process.argv[2] === 'child')
  lines(process.stdin, ({ id, params }) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', id, result: params })}\n`));

/** An echo child; `call` resolves with what comes back. */
export function startEcho() {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), 'child'], { stdio: ['pipe', 'pipe', 'inherit'] });
  const waiting = new Map();
  let lastId = 0;
  lines(child.stdout, ({ id, result }) => {
    const resolve = waiting.get(id);
    waiting.delete(id);
    resolve(result);
  });
  return {
    call: (params) =>
      new Promise((resolve) => {
        waiting.set(++lastId, resolve);
        child.stdin.write(`${JSON.stringify({ jsonrpc: '2.0', id: lastId, method: 'echo', params })}\n`);
      }),
    stop: () => child.stdin.end(),
  };
}
