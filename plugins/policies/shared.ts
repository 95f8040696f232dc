// The store that instances share over the broker: whoever has a compiler puts in what was made, whoever has none takes it out.

import { readFileSync } from 'node:fs';
import { type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { type BrokerConfig, findBrokers } from '../wire/brokers.ts';
import { openLasting } from '../wire/lasting-connection.ts';
import { ownConnection } from '../wire/own-connection.ts';
import { sourceKey } from '../wire/rego/policy-use.ts';
import { openRecord, type PolicyRecord, RecordError, sealRecord, type Wanted } from './record.ts';

export interface SharedConfig extends BrokerConfig {
  readonly 'plugin.muster.policies.shared': boolean;
  readonly 'plugin.muster.policies.secret_file'?: string;
  readonly 'plugin.muster.policies.replicas': number;
}

const connection = 'policies';
const bucket = 'MUSTER_POLICIES';
/** A request waits for it, so a broker that is down must not hold it up for long. */
const limitMs = 3_000;
/** After a failure it is left alone for a while. */
const restMs = 5_000;
const minSecret = 32;
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

  get used(): boolean {
    return this.#config['plugin.muster.policies.shared'];
  }

  /** Undefined if it is not there, or can't be reached: why is logged. */
  async get(wanted: Wanted): Promise<PolicyRecord | undefined> {
    if (!this.used || Date.now() < this.#restUntil) return undefined;
    try {
      await this.#open();
      const object = await this.#host.objects
        .store(connection, bucket)
        .get(sourceKey(wanted.policy, wanted.use), { deadlineMs: limitMs });
      return object === null ? undefined : openRecord(object.value, this.#secret(), wanted);
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
    if (!this.used) return;
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
    await store.put(sourceKey(wanted.policy, wanted.use), sealRecord(record, this.#secret()), { deadlineMs: limitMs });
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

  /** @throws Error */
  #secret(): string | undefined {
    const file = this.#config['plugin.muster.policies.secret_file'];
    if (file === undefined) return undefined;
    const secret = readFileSync(file, 'utf8').trim();
    if (secret.length < minSecret)
      throw new Error(`${file} has fewer than ${minSecret} characters; it is the secret of the store`);
    return secret;
  }
}
