// Signers and nodes see `@` and `.` of a caller as `_`. Of two users who would be one there, whoever came first may log in.

import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Host } from '../../../core/sdk/typescript/index.ts';
import { callerOf } from '../../wire/tokens/client.ts';
import { writeWhole } from '../../wire/whole-file.ts';
import { options, SharedBucket } from './shared-bucket.ts';
import { totpBucket } from './used-codes.ts';

const mostKnown = 50_000;

/** Where it is kept whose name is whose: the same places as for codes that were used. */
export interface Owners {
  /** @returns who has the name, which is this one if nobody had it before */
  ownerOf(name: string, callerid: string): Promise<string>;
}

export class Callers {
  readonly #owners: Owners;
  readonly #onTrouble: (message: string) => void;
  readonly #known = new Map<string, string>();

  constructor(owners: Owners, onTrouble: (message: string) => void) {
    this.#owners = owners;
    this.#onTrouble = onTrouble;
  }

  /** Why this user may not log in under this name, for the log; undefined if he may. */
  async problem(callerid: string): Promise<string | undefined> {
    // A list of users has been looked through, and names in it may change their owner.
    if (callerid.startsWith('up=')) return undefined;
    const name = callerOf({ callerid });
    // All others are seen as they are, and nobody else is seen so.
    if (!name.includes('_')) return undefined;
    const owner = this.#known.get(name) ?? (await this.#ask(name, callerid));
    return owner === undefined || owner === callerid ? undefined : `signers and nodes would take it for ${owner}`;
  }

  async #ask(name: string, callerid: string): Promise<string | undefined> {
    try {
      const owner = await this.#owners.ownerOf(name, callerid);
      if (this.#known.size >= mostKnown) this.#known.clear();
      this.#known.set(name, owner);
      return owner;
    } catch (error) {
      // Logins go on while the brokers are away.
      this.#onTrouble(`it can not be looked up whether ${callerid} is like another user: ${(error as Error).message}`);
      return undefined;
    }
  }
}

export class BucketOwners implements Owners {
  readonly #shared: SharedBucket;

  constructor(host: Host, connection: string, replicas: number) {
    this.#shared = new SharedBucket(host, connection, totpBucket, { replicas });
  }

  async ownerOf(name: string, callerid: string): Promise<string> {
    const bucket = await this.#shared.open();
    const key = `caller.${createHash('sha256').update(name).digest('hex')}`;
    const isOurs = (await bucket.update(key, Buffer.from(callerid), 0, options)) !== null;
    const entry = isOurs ? undefined : await bucket.get(key, options);
    return entry ? Buffer.from(entry.value).toString() : callerid;
  }
}

export class FileOwners implements Owners {
  readonly #file: string;
  readonly #owners: Map<string, string>;

  constructor(folder: string) {
    this.#file = join(folder, 'callers.json');
    const kept = existsSync(this.#file) ? (JSON.parse(readFileSync(this.#file, 'utf8')) as [string, string][]) : [];
    this.#owners = new Map(kept);
  }

  async ownerOf(name: string, callerid: string): Promise<string> {
    const owner = this.#owners.get(name);
    if (owner !== undefined) return owner;
    this.#owners.set(name, callerid);
    writeWhole(this.#file, JSON.stringify([...this.#owners]), 0o600);
    return callerid;
  }
}
