// Which port the broker gets.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const pollMs = 50;

/** The wanted port, or that of the last start, or a free one; noted in the folder for the next start. */
export async function choosePort(wanted: number, folder: string, name = 'port'): Promise<number> {
  const file = join(folder, name);
  const last = existsSync(file) ? Number(readFileSync(file, 'utf8')) : undefined;
  const port = (await tryPort(wanted)) ?? (last ? await tryPort(last) : undefined) ?? (await tryPort(0));
  if (port === undefined) throw new Error('this machine has no free port');
  writeFileSync(file, String(port));
  return port;
}

/** The port, if it can be listened on; a free one for 0. */
function tryPort(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(undefined));
    probe.listen(port, '127.0.0.1', () => {
      const address = probe.address();
      probe.close(() => resolve(typeof address === 'object' && address ? address.port : undefined));
    });
  });
}

/** Waits until somebody listens there. @throws when the signal says so */
export async function awaitListener(port: number, signal: AbortSignal): Promise<void> {
  while (!(await isListening(port))) await sleep(pollMs, undefined, { signal });
}

function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
