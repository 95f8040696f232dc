// The terminal, for commands: write, read, ask.

import { once } from 'node:events';
import { fstatSync } from 'node:fs';
import { createInterface } from 'node:readline/promises';
import { addAbortSignal, Writable } from 'node:stream';
import { PluginError } from '../protocol/errors.ts';
import type { IncomingCall } from '../protocol/peer.ts';
import type { Capability } from './capability.ts';

/** The ends that a host was given; a host that serves has none. */
export interface TerminalEnds {
  readonly stdin: NodeJS.ReadStream;
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  readonly color: boolean;
}

const defaultColumns = 80;
const defaultLimitBytes = 64 * 1024 * 1024;

export function createTerminal(ends: TerminalEnds | undefined): Capability {
  const given = (): TerminalEnds => {
    if (!ends) throw new PluginError('UNAVAILABLE', 'this host has no terminal; only a command of `muster` has one');
    return ends;
  };
  return {
    methods: {
      'terminal/info': () => {
        const { stdin, stdout, color } = given();
        return {
          tty: stdout.isTTY === true,
          columns: stdout.columns ?? defaultColumns,
          color,
          interactive: stdin.isTTY === true,
          piped: isPiped(stdin),
        };
      },
      'terminal/write': async ({ text, stream = 'stdout' }: { text: string; stream?: 'stdout' | 'stderr' }) => {
        const out = given()[stream];
        if (!out.write(text) && !out.destroyed) await Promise.race([once(out, 'drain'), once(out, 'close')]);
      },
      'terminal/read': async ({ limitBytes = defaultLimitBytes }: { limitBytes?: number }, _caller, { signal }: IncomingCall) => {
        const parts: Buffer[] = [];
        let bytes = 0;
        for await (const part of addAbortSignal(signal, given().stdin)) {
          parts.push(part as Buffer);
          bytes += (part as Buffer).length;
          if (bytes > limitBytes) throw new PluginError('TOO_LARGE', `standard input has more than ${limitBytes} bytes`);
        }
        return { text: Buffer.concat(parts).toString('utf8') };
      },
      'terminal/prompt': async ({ question, secret = false }: { question: string; secret?: boolean }) => {
        const { stdin, stderr } = given();
        if (!stdin.isTTY)
          throw new PluginError('UNAVAILABLE', `nobody can answer "${question}": standard input is not a terminal`);
        const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
        const lines = createInterface({ input: stdin, output: secret ? silent : stderr, terminal: true });
        // From here on the terminal shows nothing by itself, so that what is typed at once is not seen either.
        if (secret) stderr.write(question);
        try {
          return { answer: await lines.question(secret ? '' : question) };
        } finally {
          lines.close();
          if (secret) stderr.write('\n');
        }
      },
    },
  };
}

/** A parent that is a program may hold a socket open there and never write to it; a shell makes pipes, and opens files. */
function isPiped(stdin: NodeJS.ReadStream & { readonly fd?: number }): boolean {
  try {
    const stat = fstatSync(stdin.fd ?? 0);
    return stat.isFIFO() || stat.isFile();
  } catch {
    return false;
  }
}
