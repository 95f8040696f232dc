// A plugin that tests make for themselves: it speaks the protocol by hand, so that no SDK stands between test and host.

import { writeBundle } from './folders.ts';

export interface EchoOptions {
  readonly version?: string;
  readonly limits?: string;
  readonly needs?: string;
  readonly start?: 'eager' | 'lazy';
  /** JavaScript that runs before anything else. */
  readonly prelude?: string;
  /** Further methods: members of an object, `'name': (id, params, meta) => …`. */
  readonly methods?: string;
  /** Answers of `activate`; a statement that ends in calling `done()`. */
  readonly activate?: string;
}

export function echoManifest({ version = '1.0.0', limits = '{}', needs = '{}', start = 'lazy' }: EchoOptions = {}): string {
  return `bundle: echo
version: ${version}
plugins:
  - kind: echo
    name: echo
    runner: persistent
    command: [node, ./echo.mjs]
    start: ${start}
    limits: ${limits}
    needs: ${needs}
`;
}

/** Writes it below a folder and returns the bundle's folder. */
export function echoPlugin(parent: string, options: EchoOptions = {}): string {
  return writeBundle(parent, 'echo', echoManifest(options), { 'echo.mjs': echoSource(options) });
}

export function echoSource({ version = '1.0.0', prelude = '', methods = '', activate }: EchoOptions = {}): string {
  return `import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
${prelude}
const timers = new Map();
const waiting = new Map();
let lastId = 0;
const write = (message) => process.stdout.write(JSON.stringify(message) + '\\n');
const answer = (id, result) => write({ jsonrpc: '2.0', id, result });
const refuse = (id, code, message) => write({ jsonrpc: '2.0', id, error: { code, message } });
/** Asks the host. */
const ask = (method, params) => new Promise((resolve, reject) => {
  const id = 'p' + ++lastId;
  waiting.set(id, { resolve, reject });
  write({ jsonrpc: '2.0', id, method, params });
});
const methods = {
  initialize: (id) => answer(id, { protocol: 1, version: '${version}', activates: ${activate !== undefined} }),
  activate: (id) => { const done = () => answer(id, {}); ${activate ?? 'done()'}; },
  ping: (id) => answer(id, {}),
  shutdown: (id) => answer(id, {}),
  'echo/echo': (id, { text }) => answer(id, { text, pid: process.pid }),
  'echo/version': (id) => answer(id, { version: '${version}' }),
  'echo/env': (id) => answer(id, { env: process.env }),
  'echo/sleep': (id, { ms }) => timers.set(id, setTimeout(() => answer(id, { slept: ms, version: '${version}' }), ms)),
  'echo/fork': (id) => answer(id, { child: spawn('sleep', ['60'], { stdio: 'ignore' }).pid }),
  'echo/ask': (id, { method, params }) => ask(method, params).then((result) => answer(id, { result }), (error) => answer(id, { error })),
  '$/cancel': (_id, { id }) => { clearTimeout(timers.get(id)); if (timers.delete(id)) refuse(id, -32800, 'cancelled'); },
  ${methods}
};
createInterface({ input: process.stdin }).on('line', (line) => {
  const { id, method, params, result, error, _meta } = JSON.parse(line);
  if (method === undefined) {
    const { resolve, reject } = waiting.get(id) ?? {};
    waiting.delete(id);
    if (error) reject?.(error);
    else resolve?.(result);
  } else if (methods[method]) methods[method](id, params ?? {}, _meta);
  else if (id !== undefined) refuse(id, -32601, 'unknown method ' + method);
}).on('close', () => process.exit());
`;
}
