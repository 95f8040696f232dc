// Revocations as the service follows and keeps them. Whoever has a certificate of the fleet may delete what is in the bucket, or
// put something else in its place: what is known here is written back, also by a service that was started anew meanwhile.

import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Bucket, type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import type { TrustAnchors } from '../wire/tokens/anchors.ts';
import { publicHex } from '../wire/tokens/ed25519.ts';
import { createRevocations, followLater, newRevocations } from '../wire/tokens/follow-revocations.ts';
import { type Revocations, revocationBucket } from '../wire/tokens/revocations.ts';
import { writeWhole } from '../wire/whole-file.ts';

export interface KeeperOptions {
  readonly connection: string;
  readonly replicas: number;
  readonly trust: () => Promise<TrustAnchors>;
}

const repairMs = 1_000;
/** Whoever purges the bucket is told to nobody, so that its keys are looked at every so many times. */
const compareEvery = 5;
const mostAtOnce = 256;
const repeatMs = 60_000;

export class RevocationKeeper {
  readonly revocations: Revocations;
  readonly #host: Host;
  readonly #options: KeeperOptions;
  readonly #bucket: Bucket;
  readonly #file: string | undefined;
  #isLoading = false;
  #rounds = 0;
  #isComing: boolean | undefined;
  #trusted = '';
  #restored = 0;
  #toldAt = Number.NEGATIVE_INFINITY;
  #said = '';

  constructor(host: Host, options: KeeperOptions) {
    this.#host = host;
    this.#options = options;
    this.#bucket = host.kv.bucket(options.connection, revocationBucket);
    this.#file = host.stateFolder ? join(host.stateFolder, 'revoked') : undefined;
    this.revocations = newRevocations(host, { trust: options.trust, onTaken: (text) => this.#note(text) });
  }

  /** Entries that were written back. */
  get restored(): number {
    return this.#restored;
  }

  /** Whether brokers were asked for what was revoked, and none has said that it can not be had. */
  get isComing(): boolean {
    return this.#isComing ?? false;
  }

  async start(): Promise<void> {
    await this.#load();
    await followLater(this.#host, this.#options.connection, this.revocations, (bucket) => this.#prepare(bucket));
    await this.#host.timers.set({ id: 'revocations-repair', everyMs: repairMs }, () => this.#repair());
  }

  async #prepare(bucket: Bucket): Promise<void> {
    this.#isComing ??= true;
    try {
      await createRevocations(bucket, this.#options.replicas);
    } catch (error) {
      this.#isComing = false;
      throw error;
    }
  }

  /** They are verified again, so that the file needs no guard. */
  async #load(): Promise<void> {
    if (this.#file === undefined || !existsSync(this.#file)) return;
    // Without keys nothing counts, and nothing must be lost for it.
    if (!(await this.#options.trust().catch(() => undefined))) return;
    const texts = readFileSync(this.#file, 'utf8').split('\n');
    const kept: string[] = [];
    this.#isLoading = true;
    for (const text of texts) if (text !== '' && (await this.revocations.load(text))) kept.push(text);
    this.#isLoading = false;
    if (kept.length < texts.length - 1) writeWhole(this.#file, kept.map((text) => `${text}\n`).join(''), 0o600);
  }

  #note(text: string): void {
    if (this.#file === undefined || this.#isLoading) return;
    try {
      appendFileSync(this.#file, `${text}\n`, { mode: 0o600 });
    } catch (error) {
      this.#host.log.warn(`revocations can not be kept in ${this.#file}: ${(error as Error).message}`);
    }
  }

  async #repair(): Promise<void> {
    if (!this.revocations.current || !(await this.#host.bus.info(this.#options.connection)).connected) return;
    this.#rounds += 1;
    try {
      if (this.#rounds % compareEvery === 0) await this.#compare();
      const astray = this.revocations.astray().slice(0, mostAtOnce);
      for (const [key, text] of astray) await this.#bucket.put(key, Buffer.from(text));
      this.#restored += astray.length;
      if (astray.length > 0) this.#tellRestored(astray.length);
      this.#said = '';
    } catch (error) {
      const { message } = error as Error;
      if (message !== this.#said) this.#host.log.warn(`what was revoked can not be written back: ${message}; trying again`);
      this.#said = message;
    }
  }

  async #compare(): Promise<void> {
    let keys: readonly string[] = [];
    try {
      keys = await this.#bucket.keys();
    } catch (error) {
      if (!(error instanceof PluginError && error.code === 'NOT_FOUND')) throw error;
      await createRevocations(this.#bucket, this.#options.replicas);
    }
    this.revocations.compare(keys);
    await this.#readAgain(keys);
  }

  /** What was signed with a key that came later. */
  async #readAgain(keys: readonly string[]): Promise<void> {
    const trusted = fingerprint(await this.#options.trust());
    const hasChanged = this.#trusted !== '' && this.#trusted !== trusted;
    this.#trusted = trusted;
    if (!hasChanged || this.revocations.refused === 0) return;
    for (const key of keys) {
      const entry = await this.#bucket.get(key);
      if (!entry) continue;
      const change = { key, operation: 'put', ...entry } as const;
      await this.revocations.take({ changes: [change], reset: false, current: false });
    }
  }

  #tellRestored(count: number): void {
    if (performance.now() - this.#toldAt < repeatMs) return;
    this.#toldAt = performance.now();
    this.#host.log.warn(
      `${count} revocations were missing in the bucket ${revocationBucket}, or something else was there; they are written back (${this.#restored} in all; see who has certificates of the fleet)`,
    );
  }
}

function fingerprint(trust: TrustAnchors): string {
  const keys = 'signers' in trust ? trust.signers : [...trust.issuers.values()];
  return keys
    .map(({ key }) => (key.asymmetricKeyType === 'rsa' ? key.export({ type: 'spki', format: 'pem' }) : publicHex(key)))
    .join();
}
