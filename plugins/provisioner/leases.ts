// What an election is held over: a bucket of Muster's own, or the key of Choria's provisioners.

import { type Bucket, type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import type { Lease } from '../wire/election.ts';
import { connection } from './node-rpc.ts';

export const electionBucket = 'MUSTER_PROVISIONER_ELECTION';
const key = 'leader';
export const musterTtlMs = 5_000;
export const musterEveryMs = 1_000;
export const choriaTtlMs = 60_000;
export const choriaEveryMs = 500;
const choriaSubject = '$KV.CHORIA_LEADER_ELECTION.provisioner';
const wrongRevision = 10_071;
const answerMs = 2_000;

export interface Candidate {
  /** Of this instance alone. */
  readonly id: string;
  readonly identity: string;
}

export class BucketLease implements Lease {
  readonly #bucket: Bucket;
  readonly #candidate: Candidate;
  readonly #value: Uint8Array;
  readonly #replicas: number;
  /** Who leads, as far as this one knows. */
  holder: string | undefined;

  constructor(host: Host, candidate: Candidate, replicas: number) {
    this.#replicas = replicas;
    this.#bucket = host.kv.bucket(connection, electionBucket);
    this.#candidate = candidate;
    this.#value = Buffer.from(JSON.stringify(candidate));
  }

  async hold(revision: number, signal: AbortSignal): Promise<number | null> {
    try {
      return await this.#hold(revision, signal);
    } catch (error) {
      if (!(error instanceof PluginError) || error.code !== 'NOT_FOUND') throw error;
      await this.#bucket.create(
        { history: 1, ttlMs: musterTtlMs, replicas: this.#replicas, description: 'Which provisioner works' },
        { signal },
      );
      return this.#hold(0, signal);
    }
  }

  async release(revision: number): Promise<void> {
    await this.#bucket.delete(key, revision, { deadlineMs: answerMs });
  }

  async #hold(revision: number, signal: AbortSignal): Promise<number | null> {
    const written = await this.#bucket.update(key, this.#value, revision, { signal });
    if (written !== null) return this.#won(written);
    const entry = await this.#bucket.get(key, { signal });
    const holder = entry && (JSON.parse(Buffer.from(entry.value).toString()) as Partial<Candidate>);
    this.holder = holder?.identity;
    // An own write whose answer was lost.
    if (entry === null || holder?.id !== this.#candidate.id) return null;
    const again = await this.#bucket.update(key, this.#value, entry.revision, { signal });
    return again === null ? null : this.#won(again);
  }

  #won(revision: number): number {
    this.holder = this.#candidate.identity;
    return revision;
  }
}

/** By bare messages, since that bucket may be another account's, of which only its key is to be reached. */
export class ChoriaLease implements Lease {
  readonly #host: Host;
  readonly #candidate: Candidate;
  readonly #inbox: string;
  #waiting: ((answer: string) => void) | undefined;
  holder: string | undefined;

  constructor(host: Host, candidate: Candidate) {
    this.#host = host;
    this.#candidate = candidate;
    this.#inbox = `muster.provisioner.lease.${candidate.id}`;
  }

  async start(): Promise<void> {
    await this.#host.bus.subscribe({ connection, id: 'lease', subject: this.#inbox }, ({ payload }) =>
      this.#waiting?.(Buffer.from(payload).toString()),
    );
  }

  async hold(revision: number, signal: AbortSignal): Promise<number | null> {
    const answer = new Promise<string>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new PluginError('UNAVAILABLE', 'the bucket CHORIA_LEADER_ELECTION does not answer')),
        answerMs,
      );
      signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      this.#waiting = (text) => {
        clearTimeout(timer);
        resolve(text);
      };
    });
    answer.catch(() => undefined);
    await this.#host.bus.publish({
      connection,
      subject: choriaSubject,
      reply: this.#inbox,
      payload: Buffer.from(this.#candidate.identity),
      headers: { 'Nats-Expected-Last-Subject-Sequence': [String(revision)] },
    });
    const { seq, error } = JSON.parse((await answer) || '{}') as {
      seq?: number;
      error?: { err_code?: number; description?: string };
    };
    if (error?.err_code === wrongRevision) return null;
    if (typeof seq === 'number') return seq;
    throw new PluginError(
      'UNAVAILABLE',
      `the bucket CHORIA_LEADER_ELECTION can not be used: ${error?.description ?? 'no answer'}`,
    );
  }

  /** It ends by itself: what deletes it would stand in the way of whoever can't look at it. */
  release(): Promise<void> {
    return Promise.resolve();
  }
}
