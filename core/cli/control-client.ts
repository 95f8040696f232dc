// The other end of a running host's control socket.

import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { resolve } from 'node:path';
import { controlSocketPath } from '../host/control.ts';
import { loadSettings, stateFolderOf } from '../host/settings.ts';
import { Peer } from '../protocol/peer.ts';
import { PipeCarrier } from '../protocol/pipe.ts';

/** Where a running host keeps its state: the flag, the configuration, or the place of a node run by this user. */
export function findStateFolder(root: string, flags: { readonly state?: string; readonly config?: string }): string {
  if (flags.state !== undefined) return flags.state;
  if (flags.config === undefined) return stateFolderOf(undefined, undefined, 'server');
  return stateFolderOf(loadSettings({ root, file: flags.config, project: false, optional: false }).config, undefined, 'server');
}

/** Connects, lets the caller talk, and hangs up. @throws Error that says what to do if no host listens there */
export async function withHost<T>(stateFolder: string, talk: (peer: Peer) => Promise<T>): Promise<T> {
  const path = controlSocketPath(resolve(stateFolder));
  if (!existsSync(path))
    throw new Error(
      `no host runs with the state folder ${stateFolder}; name that of a running one with --state FOLDER or --config FILE`,
    );
  const socket = connect(path);
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', () => resolve());
    socket.once('error', (error) => reject(new Error(`the host of ${stateFolder} does not answer: ${error.message}`)));
  });
  const peer = new Peer({
    carrier: new PipeCarrier({ input: socket, output: socket }),
    onRequest: () => undefined,
    onClosed: () => socket.destroy(),
  });
  try {
    return await talk(peer);
  } finally {
    peer.close(new Error('done'));
    socket.destroy();
  }
}
