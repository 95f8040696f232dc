// A lock that processes share.

import { join } from 'node:path';
import { lock } from 'proper-lockfile';
import { HookError } from '../../plugins/wire/provisioning/errors.ts';

/** Whoever holds the lock says that it is alive this often; who said nothing for `stale` is taken for dead. */
const lockMs = { update: 1_000, stale: 4_000 } as const;
const retryMs = { least: 5, most: 50, total: 9_000 } as const;

/** Runs something while no other process does. @throws HookError `HOOK_AUTHORITY` if the folder stays locked, or the lock was lost */
export async function whileLocked<T>(folder: string, work: () => T | Promise<T>): Promise<T> {
  let lost: Error | undefined;
  const release = await lock(folder, {
    ...lockMs,
    lockfilePath: join(folder, 'lock'),
    retries: {
      retries: Math.ceil(retryMs.total / retryMs.most),
      minTimeout: retryMs.least,
      maxTimeout: retryMs.most,
      randomize: true,
    },
    onCompromised: (error) => {
      lost = error;
    },
  }).catch((error: unknown) => {
    throw new HookError('HOOK_AUTHORITY', `${folder} is locked by another process for too long: ${(error as Error).message}`, {
      cause: error,
    });
  });
  try {
    const result = await work();
    if (lost) throw new HookError('HOOK_AUTHORITY', `the lock of ${folder} was lost: ${lost.message}`, { cause: lost });
    return result;
  } finally {
    if (!lost) await release();
  }
}
