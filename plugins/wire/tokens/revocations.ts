// Tokens that were revoked: a bucket on the brokers, followed by whoever verifies tokens, so that a stolen one is dead within
// a moment. What was last heard of counts while the brokers are away.

import { createHash } from 'node:crypto';
import { type Revocation, validate } from '#schemas/muster/aaa/v1/revocation';
import type { Bucket, Host, KvChanges } from '../../../core/sdk/typescript/index.ts';
import type { ClientClaims } from './client.ts';

export type { Revocation };

export const revocationBucket = 'MUSTER_REVOKED';

const watchId = 'revocations';
const createMs = 500;

type TokenNames = Pick<ClientClaims, 'callerid' | 'public_key' | 'jti' | 'iat' | 'auth_time'>;

/** Where a revocation is kept. Values hold what a key of a bucket may not. */
export function revocationKey({ kind, value }: Pick<Revocation, 'kind' | 'value'>): string {
  return `${kind}.${createHash('sha256').update(value).digest('hex')}`;
}

/** Undefined for bytes that are none. */
export function readRevocation(bytes: Uint8Array): Revocation | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString('utf8'));
    return validate(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

export function hasEnded({ until }: Revocation, nowMs: number): boolean {
  return until !== undefined && until * 1000 <= nowMs;
}

export class Revocations {
  readonly #all = new Map<string, Revocation>();
  #current = false;

  /** Whether all that the brokers have is known. */
  get current(): boolean {
    return this.#current;
  }

  get size(): number {
    return this.#all.size;
  }

  /** Why a token is revoked, which may be an empty text; undefined if it is not. */
  revoked({ callerid, public_key, jti, iat, auth_time: loggedIn = iat }: TokenNames, nowMs = Date.now()): string | undefined {
    if (this.#all.size === 0) return undefined;
    const byId = jti === undefined ? undefined : this.#find('jti', jti, nowMs);
    const byKey = this.#find('public_key', public_key, nowMs);
    const byCaller = this.#find('callerid', callerid, nowMs);
    // Whoever refreshed a token meanwhile has not logged in again.
    const since = iat === undefined || loggedIn === undefined ? undefined : Math.min(iat, loggedIn);
    const isOld = byCaller && (byCaller.issued_until === undefined || since === undefined || since <= byCaller.issued_until);
    const found = byId ?? byKey ?? (isOld ? byCaller : undefined);
    return found && (found.reason ?? '');
  }

  /** @throws nothing: what can't be read is passed over */
  take({ changes, reset, current }: KvChanges): void {
    if (reset) this.#all.clear();
    for (const { key, operation, value } of changes) {
      const revocation = operation === 'put' && value ? readRevocation(value) : undefined;
      // What stands under another's key is nobody's.
      if (revocation && revocationKey(revocation) === key) this.#all.set(key, revocation);
      else this.#all.delete(key);
    }
    if (current) this.#current = true;
  }

  #find(kind: Revocation['kind'], value: string, nowMs: number): Revocation | undefined {
    const found = this.#all.get(revocationKey({ kind, value }));
    return found && !hasEnded(found, nowMs) ? found : undefined;
  }
}

/**
 * Follows the bucket over a connection. Needs `kv: [MUSTER_REVOKED]`, and with `replicas` timers as well.
 * @param replicas makes the bucket with so many copies as soon as there is a broker
 * @throws PluginError without `replicas`, where there is no such bucket or no broker
 */
export async function followRevocations(
  host: Host,
  connection: string,
  { replicas }: { readonly replicas?: number } = {},
): Promise<Revocations> {
  const revocations = new Revocations();
  const bucket = host.kv.bucket(connection, revocationBucket);
  const follow = () => bucket.watch({ id: `${watchId}:${Date.now()}`, key: '>' }, (changes) => revocations.take(changes));
  if (replicas === undefined) {
    // A watch would wait for the bucket in the background.
    await bucket.get(revocationKey({ kind: 'jti', value: 'none' }));
    await follow();
    return revocations;
  }
  let said = '';
  await host.timers.set({ id: watchId, afterMs: 0, everyMs: createMs }, async () => {
    if (!(await host.bus.info(connection)).connected) return;
    try {
      await createRevocations(bucket, replicas);
    } catch (error) {
      const { message } = error as Error;
      if (message !== said)
        host.log.warn(`revoked tokens can not be looked up, so that none is refused for it: ${message}; trying again`);
      said = message;
      return;
    }
    await host.timers.clear(watchId);
    await follow();
  });
  return revocations;
}

export async function createRevocations(bucket: Bucket, replicas: number): Promise<void> {
  await bucket.create({ history: 1, storage: 'file', replicas, description: 'Tokens that were revoked' });
}
