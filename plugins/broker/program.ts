// Where the nats-server program is.

import { accessSync, constants } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { type Host, PluginError } from '../../core/sdk/typescript/index.ts';

/** `NATS_SERVER`, then PATH, then the distribution's own `.tools`. @throws PluginError that says what to do */
export function findNatsServer(environment: NodeJS.ProcessEnv, distribution: string): string {
  const candidates = [
    ...(environment.NATS_SERVER ? [resolve(environment.NATS_SERVER)] : []),
    ...(environment.PATH ?? '').split(delimiter).map((folder) => join(folder, 'nats-server')),
    join(distribution, '../.tools/nats-server'),
  ];
  const found = candidates.find(isExecutable);
  if (found) return found;
  throw new PluginError(
    'UNAVAILABLE',
    'no nats-server was found; install it (for instance `apt-get install nats-server`), or set NATS_SERVER to its path',
  );
}

const versionMs = 10_000;

/** The first that asks somebody else who a connection is. */
export const calloutVersion = [2, 10] as const;

/** Such as `2.10.3`. @throws PluginError if the program does not tell */
export async function programVersion(host: Host, program: string): Promise<string> {
  const { stdout, stderr } = await host.processes.run({ command: [program, '--version'] }, { deadlineMs: versionMs });
  const version = /v?(\d+\.\d+\.\d+\S*)/.exec(stdout || stderr)?.[1];
  if (version !== undefined) return version;
  throw new PluginError('UNAVAILABLE', `${program} does not tell its version; see what \`${program} --version\` prints`);
}

export function isAtLeast(version: string, [major, minor]: readonly [number, number]): boolean {
  const [ownMajor = 0, ownMinor = 0] = version.split('.').map(Number);
  return ownMajor > major || (ownMajor === major && ownMinor >= minor);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
