// Which codes were used: in a bucket that all instances share, or in a file where there is no broker.

import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from '../../../core/sdk/typescript/index.ts';
import { writeWhole } from '../../wire/whole-file.ts';
import { options, SharedBucket } from './shared-bucket.ts';

export const totpBucket = 'MUSTER_TOTP';
const tries = 5;

export interface UsedCodes {
  /** Marks a step as used. @returns false if this or a later one was used before */
  useStep(caller: string, step: number): Promise<boolean>;
  /** @param hash of a recovery code. @returns false if it was used before */
  useRecovery(hash: string): Promise<boolean>;
}

/** Shared by instances; while the broker can not be asked, nobody with a second factor logs in. */
export class BucketCodes implements UsedCodes {
  readonly #shared: SharedBucket;

  /** @param replicas brokers that keep a copy */
  constructor(host: Host, connection: string, replicas: number) {
    this.#shared = new SharedBucket(host, connection, totpBucket, { replicas });
  }

  async useStep(caller: string, step: number): Promise<boolean> {
    const bucket = await this.#shared.open();
    const key = `step.${nameOf(caller)}`;
    for (let round = 0; round < tries; round += 1) {
      const entry = await bucket.get(key, options);
      const last = entry ? Number(Buffer.from(entry.value).toString()) : -1;
      if (step <= last) return false;
      if ((await bucket.update(key, Buffer.from(String(step)), entry?.revision ?? 0, options)) !== null) return true;
    }
    return false;
  }

  async useRecovery(hash: string): Promise<boolean> {
    const bucket = await this.#shared.open();
    return (await bucket.update(`recovery.${hash}`, Buffer.from('used'), 0, options)) !== null;
  }
}

interface State {
  readonly steps: Record<string, number>;
  readonly recovery: Record<string, true>;
}

/** Of one instance. It is written before the login goes on. */
export class FileCodes implements UsedCodes {
  readonly #file: string;
  readonly #state: State;

  constructor(folder: string) {
    this.#file = join(folder, 'used-codes.json');
    // A file that can not be read must not let codes be used again: this throws, and the service does not start.
    this.#state = existsSync(this.#file)
      ? (JSON.parse(readFileSync(this.#file, 'utf8')) as State)
      : { steps: Object.create(null) as Record<string, number>, recovery: {} };
  }

  async useStep(caller: string, step: number): Promise<boolean> {
    const key = nameOf(caller);
    if (step <= (this.#state.steps[key] ?? -1)) return false;
    this.#state.steps[key] = step;
    this.#write();
    return true;
  }

  async useRecovery(hash: string): Promise<boolean> {
    if (this.#state.recovery[hash]) return false;
    this.#state.recovery[hash] = true;
    this.#write();
    return true;
  }

  #write(): void {
    writeWhole(this.#file, JSON.stringify(this.#state), 0o600);
  }
}

/** Callers have characters that keys of buckets may not have. */
function nameOf(caller: string): string {
  return createHash('sha256').update(caller).digest('hex');
}
