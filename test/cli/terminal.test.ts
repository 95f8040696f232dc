// What plugins say never reaches the terminal of whoever looks into a host as it is.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { runMuster } from '../support/command.ts';
import { echoPlugin } from '../support/echo.ts';
import { temporaryFolder, until } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';

const hostile = '\x1b[2J\x9b31m\u202e';
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const raw = /[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]/;
const { path: folder, remove } = temporaryFolder();
let host: TestHost;

beforeAll(async () => {
  echoPlugin(folder, { methods: `'echo/fail': (id) => refuse(id, -32000, ${JSON.stringify(hostile)}),` });
  host = await startHost({ bundles: [folder], control: true });
});
afterAll(async () => {
  await host.stop();
  remove();
});

const call = (method: string, params: object) =>
  runMuster(['plugin', 'call', 'echo/echo', method, JSON.stringify(params), '--state', host.folder]);

test('a result is JSON that reads back as it was', async () => {
  const { code, out } = await call('echo/echo', { text: hostile });
  expect(code).toBe(0);
  expect(out).not.toMatch(raw);
  expect(JSON.parse(out)).toMatchObject({ text: hostile });
});

test('an error is one line', async () => {
  const { code, err } = await call('echo/fail', {});
  expect(code).toBe(1);
  expect(err).toContain('\\u001b[2J\\u009b31m\\u202e');
  expect(err).not.toMatch(raw);
});

test('a trace of both is as harmless', async () => {
  const main = join(distributionRoot(), 'core/cli/main.js');
  const tracer = spawn(process.execPath, [main, 'plugin', 'trace', '--details', '--state', host.folder]);
  let out = '';
  tracer.stdout.on('data', (part: Buffer) => {
    out += part.toString();
  });
  try {
    await until('both are traced', async () => {
      await host.host.call('echo', 'echo', 'echo/echo', { text: hostile });
      await host.host.call('echo', 'echo', 'echo/fail', {}).catch(() => undefined);
      return ['echo/echo', 'echo/fail', '\\u001b[2J'].every((text) => out.includes(text));
    });
  } finally {
    tracer.kill('SIGTERM');
    await once(tracer, 'close');
  }
  expect(out).toContain('\\u001b[2J');
  expect(out).not.toMatch(raw);
});
