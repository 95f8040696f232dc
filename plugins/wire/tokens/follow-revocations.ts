// Following the bucket of revoked tokens over a connection. Needs `kv: [MUSTER_REVOKED]`.

import { type Bucket, type Host, PluginError } from '../../../core/sdk/typescript/index.ts';
import { Revocations, type RevocationsOptions, revocationBucket } from './revocations.ts';

const watchId = 'revocations';
const againMs = 500;

/** What is refused goes to the log of the plugin. */
export function newRevocations(host: Host, { trust, onTaken }: RevocationsOptions): Revocations {
  return new Revocations({ trust, onRefused: (problem) => host.log.warn(problem), ...(onTaken && { onTaken }) });
}

/** @throws PluginError where there is no such bucket or no broker */
export async function followRevocations(host: Host, connection: string, revocations: Revocations): Promise<void> {
  const bucket = host.kv.bucket(connection, revocationBucket);
  // A watch would wait for the bucket in the background.
  await bucket.get('jti.none');
  await watch(bucket, revocations);
}

/**
 * As soon as there is a broker, and the bucket. Needs timers as well.
 * @param prepare comes before, again and again until it succeeds
 */
export async function followLater(
  host: Host,
  connection: string,
  revocations: Revocations,
  prepare: (bucket: Bucket) => Promise<unknown>,
  everyMs = againMs,
): Promise<void> {
  const bucket = host.kv.bucket(connection, revocationBucket);
  let said = '';
  await host.timers.set({ id: watchId, afterMs: 0, everyMs }, async () => {
    if (!(await host.bus.info(connection)).connected) return;
    try {
      await prepare(bucket);
    } catch (error) {
      const { message } = error as Error;
      // Where nobody has revoked anything yet there is no bucket.
      const isMissing = error instanceof PluginError && error.code === 'NOT_FOUND';
      if (message !== said && !isMissing)
        host.log.warn(`revoked tokens can not be looked up, so that none is refused for it: ${message}; trying again`);
      said = message;
      return;
    }
    await host.timers.clear(watchId);
    await watch(bucket, revocations);
  });
}

export async function createRevocations(bucket: Bucket, replicas: number): Promise<void> {
  await bucket.create({ history: 1, storage: 'file', replicas, description: 'Tokens that were revoked' });
}

function watch(bucket: Bucket, revocations: Revocations): Promise<void> {
  return bucket.watch({ id: `${watchId}:${Date.now()}`, key: '>' }, (changes) => revocations.take(changes));
}
