// `plugin attach`: what to paste to run a plugin under one's own debugger, and the end of the wire that it runs at.

import { spawn } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { basename } from 'node:path';
import type { PluginRun } from '../host/plugin-run.ts';
import { findStateFolder, withHost } from './control-client.ts';

interface Flags {
  readonly state?: string;
  readonly config?: string;
  readonly json?: boolean;
}

interface Suggestion {
  readonly title: string;
  readonly command: readonly string[];
}

const answerMs = 10_000;

export async function attachPlugin(root: string, name: string, given: readonly string[], flags: Flags): Promise<void> {
  const state = findStateFolder(root, flags);
  if (given.length > 0) process.exitCode = await runAttached(state, name, given);
  else await describe(state, name, flags);
}

async function describe(state: string, name: string, flags: Flags): Promise<void> {
  const run = (await withHost(state, (peer) =>
    peer.call('plugin/describe', { plugin: name }, { deadlineMs: answerMs }),
  )) as PluginRun;
  const where = flags.config === undefined ? ['--state', state] : ['--config', flags.config];
  const prefix = ['muster', 'plugin', 'attach', run.plugin, ...where, '--'];
  const suggestions = run.runner === 'oneshot' ? [] : suggest(run.command);
  if (flags.json) {
    const paste = suggestions.map(({ title, command }) => ({ title, paste: line([...prefix, ...command]) }));
    process.stdout.write(`${JSON.stringify({ ...run, paste }, null, 2)}\n`);
    return;
  }
  const text = run.runner === 'oneshot' ? oneshotText(run) : attachText(run, prefix, suggestions);
  process.stdout.write(`${text.join('\n')}\n`);
}

function attachText({ plugin, folder }: PluginRun, prefix: readonly string[], suggestions: readonly Suggestion[]): string[] {
  return [
    `${plugin} lies in ${folder}. To run it under your own debugger, paste one of these:`,
    '',
    ...suggestions.flatMap(({ title, command }) => [`  # ${title}`, `  ${line([...prefix, ...command])}`, '']),
    'It runs in its own folder and environment, its log comes to your terminal, and the host sends it every call. When it',
    'ends, the host runs its own again. Pings and the handshake wait for you; calls keep their deadlines, so that a caller',
    'may be told DEADLINE while you step.',
  ];
}

/** A oneshot is its own test: params in, result out. */
function oneshotText({ plugin, folder, command, environment }: PluginRun): string[] {
  const [kind] = plugin.split('/');
  const variables = Object.entries({ ...environment, MUSTER_METHOD: `${kind}/…` }).map(([key, value]) => `${key}=${value}`);
  return [
    `${plugin} is run once for each call: params on stdin, the result on stdout. To run it by hand, paste:`,
    '',
    `  cd ${quote(folder)} && echo '{…}' | env -i ${line([...variables, ...command])}`,
    '',
    'with the method that you mean and its params.',
  ];
}

/** Debuggers by what the plugin is run with. */
function suggest(command: readonly string[]): Suggestion[] {
  const [program = '', ...rest] = command;
  const plain: Suggestion = { title: 'without a debugger, its log in this terminal', command };
  switch (basename(program).replace(/[\d.]+$/, '')) {
    case 'python':
      return [
        {
          title: 'debugpy waits for an editor on port 5678 (pip install debugpy)',
          command: [program, '-m', 'debugpy', '--listen', '5678', '--wait-for-client', ...rest],
        },
        plain,
      ];
    case 'node':
      return [
        { title: 'waits for an editor or chrome://inspect on port 9229', command: [program, '--inspect-brk', ...rest] },
        plain,
      ];
    case 'ruby':
      return [
        {
          title: 'rdbg waits for an editor (gem install debug)',
          command: ['rdbg', '--open', '--command', '--', program, ...rest],
        },
        plain,
      ];
    case 'sh':
    case 'bash':
      return [{ title: 'tells every command that it runs', command: [program, '-x', ...rest] }, plain];
    default:
      return [
        {
          title: 'Go: delve waits for an editor on port 2345',
          command: [
            'dlv',
            'exec',
            program,
            '--headless',
            '--listen',
            '127.0.0.1:2345',
            ...(rest.length > 0 ? ['--', ...rest] : []),
          ],
        },
        {
          title: 'Rust, C, C++: gdbserver waits for gdb or lldb on port 2345',
          command: ['gdbserver', '127.0.0.1:2345', program, ...rest],
        },
        plain,
      ];
  }
}

/** Runs the given command as the plugin, until it or the host ends. */
async function runAttached(state: string, name: string, [program = '', ...args]: readonly string[]): Promise<number> {
  const opened = (await withHost(state, (peer) =>
    peer.call('plugin/attach', { plugin: name }, { deadlineMs: answerMs }),
  )) as PluginRun & {
    socket: string;
  };
  const socket = connect(opened.socket);
  const child = spawn(program, args, {
    cwd: opened.folder,
    env: { ...opened.environment, ...terminalOf(process.env) },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  process.stderr.write(`${opened.plugin} is attached; press Ctrl-C to let go of it\n`);
  join(socket, child.stdin, child.stdout);
  return new Promise((resolve) => {
    child.once('error', (error) => {
      process.stderr.write(`muster: ${program} could not be started: ${error.message}\n`);
      socket.destroy();
      resolve(1);
    });
    child.once('exit', (code) => {
      socket.end();
      resolve(code ?? 0);
    });
    socket.once('close', () => child.stdin.end());
  });
}

function join(socket: Socket, input: NodeJS.WritableStream, output: NodeJS.ReadableStream): void {
  // Either end may go first; the exit of the process tells.
  for (const end of [socket, input, output]) end.on('error', () => undefined);
  socket.pipe(input);
  output.pipe(socket);
}

/** Debuggers want to know what terminal they are in. */
function terminalOf({ TERM, COLORTERM }: NodeJS.ProcessEnv): Record<string, string> {
  return { ...(TERM !== undefined && { TERM }), ...(COLORTERM !== undefined && { COLORTERM }) };
}

function line(words: readonly string[]): string {
  return words.map(quote).join(' ');
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
