// A plugin that somebody else runs, under a debugger say: its stdin and stdout arrive over a socket. Nobody is hurried.

import { randomUUID } from 'node:crypto';
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PluginError } from '../protocol/errors.ts';
import { lifecycle } from '../protocol/messages.ts';
import { Peer } from '../protocol/peer.ts';
import { PipeCarrier } from '../protocol/pipe.ts';
import { type End, type Instance, initialize, PeerInstance, type StartOptions } from './instance.ts';

/** Time for a handshake that somebody may step through. */
export const patientMs = 600_000;
const connectMs = 30_000;

/** Where the program that runs the plugin connects to: a socket of this user's, for one connection. */
export interface Dock {
  readonly path: string;
  /** @throws PluginError `DEADLINE` if nobody comes */
  readonly arrived: Promise<Socket>;
}

export async function openDock(): Promise<Dock> {
  const path = join(tmpdir(), `muster-attach-${randomUUID()}.sock`);
  const server = createServer({ pauseOnConnect: true });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve());
  });
  chmodSync(path, 0o600);
  const arrived = firstConnection(server).finally(() => {
    server.close();
    rmSync(path, { force: true });
  });
  arrived.catch(() => undefined);
  return { path, arrived };
}

function firstConnection(server: Server): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const late = setTimeout(
      () => reject(new PluginError('DEADLINE', `nobody connected within ${connectMs / 1000} s to run the plugin`)),
      connectMs,
    ).unref();
    server.once('connection', (socket) => {
      clearTimeout(late);
      resolve(socket);
    });
  });
}

export async function startAttached(options: StartOptions, socket: Socket): Promise<Instance> {
  const { spec, log } = options;
  let end: (value: End) => void = () => undefined;
  let stopped = false;
  const ended = new Promise<End>((resolve) => {
    end = resolve;
  });
  const carrier = new PipeCarrier({ input: socket, output: socket, maxLineBytes: spec.limits.maxLineBytes });
  const peer = new Peer({
    carrier,
    onRequest: options.onRequest,
    onViolation: (what) => log.warn({}, `plugin ${what}`),
    onClosed: () => {
      socket.destroySoon();
      end({ expected: stopped, reason: stopped ? 'stopped' : 'what ran it attached has ended' });
    },
  });
  socket.resume();
  const answer = await initialize(peer, options, patientMs).catch((error: Error) => {
    peer.close(error);
    throw error;
  });
  carrier.agree({ maxLineBytes: answer.limits?.maxLineBytes, bytes: options.bytes });
  const stop = async (graceMs: number) => {
    stopped = true;
    await peer.call(lifecycle.shutdown, {}, { deadlineMs: graceMs }).catch(() => undefined);
    peer.close(new Error('stopped'));
  };
  return new PeerInstance({ peer, answer }, { runner: 'attached', ended, stop });
}
