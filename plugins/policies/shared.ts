// The store that instances share over the broker: whoever has a compiler puts in what was made, whoever has none takes it out.

import { createPublicKey, type KeyObject } from 'node:crypto';
import { type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { type BrokerConfig, findBrokers } from '../wire/brokers.ts';
import { openLasting } from '../wire/lasting-connection.ts';
import { ownConnection } from '../wire/own-connection.ts';
import { sourceKey } from '../wire/rego/policy-use.ts';
import { readSigningKey, readVerificationKey } from '../wire/tokens/jwt.ts';
import { openRecord, type PolicyRecord, RecordError, sealRecord, type Wanted } from './record.ts';

export interface SharedConfig extends BrokerConfig {
  readonly 'plugin.muster.policies.shared': boolean;
  readonly 'plugin.muster.policies.signing_key'?: string;
  readonly 'plugin.muster.policies.trusted_keys'?: readonly string[];
  readonly 'plugin.muster.policies.replicas': number;
}

const connection = 'policies';
const bucket = 'MUSTER_POLICIES';
/** A request waits for it, so a broker that is down must not hold it up for long. */
const limitMs = 3_000;
/** After a failure it is left alone for a while. */
const restMs = 5_000;
/** Policies that wait for the broker. */
const maxPending = 64;

export class Shared {
  readonly #host: Host;
  readonly #config: SharedConfig;
  #opening: Promise<void> | undefined;
  #made = false;
  readonly #pending = new Map<string, { readonly wanted: Wanted; readonly record: PolicyRecord }>();
  #putting = false;
  #restUntil = 0;
  #said = '';

  constructor(host: Host, config: SharedConfig) {
    this.#host = host;
    this.#config = config;
  }

  /** Whether it is asked: only where it is said whose policies are believed, since others may write to it. */
  get #isRead(): boolean {
    const { 'plugin.muster.policies.shared': shared, 'plugin.muster.policies.trusted_keys': trusted = [] } = this.#config;
    return shared && (trusted.length > 0 || this.#config['plugin.muster.policies.signing_key'] !== undefined);
  }

  get #isWritten(): boolean {
    return this.#config['plugin.muster.policies.shared'] && this.#config['plugin.muster.policies.signing_key'] !== undefined;
  }

  /** Undefined if it is not there, or can't be reached: why is logged. */
  async get(wanted: Wanted): Promise<PolicyRecord | undefined> {
    if (!this.#isRead || Date.now() < this.#restUntil) return undefined;
    try {
      await this.#open();
      const object = await this.#host.objects
        .store(connection, bucket)
        .get(sourceKey(wanted.policy, wanted.use), { deadlineMs: limitMs });
      return object === null ? undefined : openRecord(object.value, this.#trusted(), wanted);
    } catch (error) {
      if (error instanceof PluginError && error.code === 'NOT_FOUND') return undefined;
      if (error instanceof RecordError)
        this.#host.log.error(`a policy in the object store ${bucket} is not used: ${error.message}`);
      else this.#failed('read', error as Error);
      return undefined;
    }
  }

  /** In the background. What a broker that is down does not take is put when it is back. */
  put(wanted: Wanted, record: PolicyRecord): void {
    if (!this.#isWritten) return;
    this.#pending.set(sourceKey(wanted.policy, wanted.use), { wanted, record });
    const [oldest] = this.#pending.keys();
    if (this.#pending.size > maxPending && oldest !== undefined) this.#pending.delete(oldest);
    void this.#putPending();
  }

  async #putPending(): Promise<void> {
    if (this.#putting) return;
    this.#putting = true;
    try {
      for (const [key, { wanted, record }] of this.#pending) {
        await this.#put(wanted, record);
        this.#pending.delete(key);
      }
    } catch (error) {
      this.#failed('written', error as Error);
      await this.#host.timers.set({ id: 'put-pending', afterMs: restMs }, () => this.#putPending()).catch(() => undefined);
    } finally {
      this.#putting = false;
    }
  }

  async #put(wanted: Wanted, record: PolicyRecord): Promise<void> {
    await this.#open();
    const store = this.#host.objects.store(connection, bucket);
    if (!this.#made) {
      await store.create(
        { replicas: this.#config['plugin.muster.policies.replicas'], description: 'Compiled policies' },
        { deadlineMs: limitMs },
      );
      this.#made = true;
    }
    await store.put(sourceKey(wanted.policy, wanted.use), sealRecord(record, this.#signingKey()), { deadlineMs: limitMs });
  }

  async #open(): Promise<void> {
    this.#opening ??= this.#connect();
    this.#opening.catch(() => {
      this.#opening = undefined;
    });
    await this.#opening;
  }

  async #connect(): Promise<void> {
    const { spec } = await ownConnection(this.#host, 'server', 'policies');
    await openLasting(this.#host, { connection, ...spec }, () => findBrokers(this.#config, process.env));
  }

  #failed(what: string, error: Error): void {
    this.#restUntil = Date.now() + restMs;
    const message = `the object store ${bucket} could not be ${what}, so policies are not shared just now: ${error.message}`;
    // A broker that stays away is told of once.
    if (message === this.#said) this.#host.log.debug(message);
    else this.#host.log.warn(message);
    this.#said = message;
  }

  /** Read each time, since keys are replaced. @throws TokenError */
  #signingKey(): KeyObject {
    return readSigningKey(this.#config['plugin.muster.policies.signing_key'] ?? '').key;
  }

  /** @throws TokenError */
  #trusted(): readonly KeyObject[] {
    const trusted = (this.#config['plugin.muster.policies.trusted_keys'] ?? []).map((name) => readVerificationKey(name).key);
    const own = this.#config['plugin.muster.policies.signing_key'] === undefined ? [] : [createPublicKey(this.#signingKey())];
    return [...trusted, ...own];
  }
}
