// Where the nats-server program is.

import { accessSync, constants } from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { PluginError } from '../../core/sdk/typescript/index.ts';

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

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
