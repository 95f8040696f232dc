// A bucket that instances of the service share. While the brokers are away whoever asks is told so at once.

import {
  type Bucket,
  type BucketSpec,
  type Host,
  type HostCallOptions,
  PluginError,
} from '../../../core/sdk/typescript/index.ts';

/** Of each call; somebody waits for his login meanwhile. */
export const options: HostCallOptions = { deadlineMs: 3_000 };

export class SharedBucket {
  readonly #host: Host;
  readonly #connection: string;
  readonly #bucket: Bucket;
  readonly #spec: BucketSpec;
  #isThere: Promise<unknown> | undefined;

  constructor(host: Host, connection: string, name: string, spec: BucketSpec) {
    [this.#host, this.#connection, this.#spec] = [host, connection, spec];
    this.#bucket = host.kv.bucket(connection, name);
  }

  /** Where that fails, it is looked at before the next time whether the bucket is still there. @throws PluginError */
  async use<T>(work: (bucket: Bucket) => Promise<T>): Promise<T> {
    const bucket = await this.open();
    try {
      return await work(bucket);
    } catch (error) {
      this.#isThere = undefined;
      throw error;
    }
  }

  /** Makes it where it is not there yet. @throws PluginError */
  async open(): Promise<Bucket> {
    const { connected } = await this.#host.bus.info(this.#connection);
    if (!connected) throw new PluginError('UNAVAILABLE', 'no broker is connected');
    this.#isThere ??= this.#bucket.create(this.#spec, options);
    try {
      await this.#isThere;
      return this.#bucket;
    } catch (error) {
      this.#isThere = undefined;
      throw error;
    }
  }
}
