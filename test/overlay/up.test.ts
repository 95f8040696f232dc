// `overlay up`: the whole thing in real processes, as a stranger would start it.

import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { freePort, temporaryFolder, until } from '../support/folders.ts';

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

interface Up {
  readonly child: ChildProcess;
  text(): string;
}

function up(...args: string[]): Up {
  const child = spawn(process.execPath, [main, 'overlay', 'up', '--state', join(folder, 'state'), ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...process.env, MUSTER_TEST_CANARY: 'canary' },
  });
  running.push(child);
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  child.stderr?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  return { child, text: () => text };
}

function shell(command: string): Promise<{ code: number; out: string }> {
  return new Promise((resolve) =>
    execFile('sh', ['-c', command], { cwd: '/' }, (error, out, err) =>
      resolve({ code: error ? Number(error.code ?? 1) : 0, out: out + err }),
    ),
  );
}

const ended = async ({ child }: Up): Promise<number | null> =>
  child.exitCode === null ? ((await once(child, 'exit'))[0] as number | null) : child.exitCode;

describe('overlay up', () => {
  test('--exit shows the main job and leaves with 0; a taken port is chosen around', async () => {
    const port = await freePort();
    const taken = createServer().listen(port, '127.0.0.1');
    await once(taken, 'listening');
    const first = up('--exit', '--port', String(port));
    const code = await ended(first);
    taken.close();
    const text = first.text();
    expect([code, text]).toEqual([0, expect.any(String)]);
    expect(text).toContain(`Port ${port} is taken; the broker listens on`);
    expect(text).toMatch(/5 replies max: [\d.]+ms min: [\d.]+ms/);
    expect(text).toMatch(/Summary of Value:\s+Debian: 3\s+RedHat: 2/);
    expect(text).toContain('You are not authorized to call this agent or action');
    expect(text).toMatch(/No Responses from: 1\s+lab1\.example\.net/);
  }, 90_000);

  test('stays up, and what it prints works as printed; Ctrl-C ends everything', async () => {
    const port = await freePort();
    const second = up('--no-show', '--port', String(port));
    await until('it invites', () => second.text().includes('Logs, audit logs'), 60_000);
    const commands = second
      .text()
      .split('\n')
      .filter((line) => line.startsWith('  /') || line.startsWith("  '"));
    expect(commands.length).toBeGreaterThanOrEqual(8);
    for (const command of commands) {
      if (command.includes('req greeter'))
        await until('every node has the agent', async () => (await shell(command)).out.includes('5 / 5 hosts'), 20_000);
      const { code, out } = await shell(command);
      expect([command, code, out]).toEqual([command, 0, expect.stringMatching(/\S/)]);
    }
    const again = up('--exit', '--port', String(port));
    expect(await ended(again)).toBe(1);
    expect(again.text()).toContain('an overlay is already up with the state folder');
    second.child.kill('SIGINT');
    expect(await ended(second)).toBe(0);
    const left = await shell(`pgrep -fa '${folder}' | grep -v pgrep || true`);
    expect(left.out.trim()).toBe('');
  }, 120_000);
});
