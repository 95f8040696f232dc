// `plugin dev`: a bundle on a node of its own, while its author writes it.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { temporaryFolder, until } from '../support/folders.ts';

const main = join(distributionRoot(), 'core/cli/main.js');
const { path: folder, remove } = temporaryFolder();
const running: ChildProcess[] = [];
afterEach(async () => {
  for (const child of running.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGINT');
    await once(child, 'exit');
  }
});
afterAll(remove);

const muster = (...args: string[]) =>
  new Promise<{ code: number; out: string }>((resolve) =>
    execFile(process.execPath, [main, ...args], { cwd: folder }, (error, out, err) =>
      resolve({ code: error ? Number(error.code ?? 1) : 0, out: out + err }),
    ),
  );

test('shows calls, log and errors live, loads what is saved, and leaves nothing behind', async () => {
  await muster('plugin', 'new', 'agent', 'greeter', '--lang', 'python');
  const child = spawn(process.execPath, [main, 'plugin', 'dev', './greeter', '--run', 'greeter hello name=Ada'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, NO_COLOR: '1' },
  });
  running.push(child);
  let text = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const shown = (what: string | RegExp) =>
    until(`it shows ${what}`, () => (typeof what === 'string' ? text.includes(what) : what.test(text)), 60_000);

  await shown(/req greeter hello name=… --config (\S+)\n/);
  const config = /--config (\S+)\n/.exec(text)?.[1] ?? '';
  await shown(/ call agent\/invoke [\d.]+ ms\n {18}→ \{"agent":"greeter","action":"hello","data":\{"name":"Ada"\}/);
  await shown('← {"statuscode":0,"statusmsg":"OK","data":{"greeting":"Hello, Ada!"}}');

  const file = join(folder, 'greeter/greeter.py');
  const source = readFileSync(file, 'utf8');
  writeFileSync(
    file,
    source.replace('Hello, ', 'Moin, ').replace('    return', '    agent.log("warn", "about to greet")\n    return'),
  );
  await shown(' load greeter 0.1.0 works\n');
  await shown('"greeting":"Moin, Ada!"');
  await shown(/ log {2}warn {2}about to greet/);

  writeFileSync(file, `${source}\nx = = 1\n`);
  await shown(/ log {2}error the present version stays: agent\/greeter did not start/);
  await shown('File "./greeter.py"');
  // The version that works is still there, for anybody in a second terminal.
  expect(await muster('req', 'greeter', 'hello', 'name=Bob', '--config', config)).toMatchObject({
    code: 0,
    out: expect.stringContaining('Moin, Bob!'),
  });

  child.kill('SIGINT');
  const [code] = await once(child, 'exit');
  expect(code).toBe(0);
  expect(existsSync(dirname(config))).toBe(false);
});

test('a folder that is no bundle is named', async () => {
  expect(await muster('plugin', 'dev', '.')).toEqual({
    code: 1,
    out: `muster: ${folder} is no bundle: it has no bundle.yaml; write one with \`muster plugin new\`\n`,
  });
});
