// The placements that provisioners keep: read once, then followed. Over a connection of its own to the provisioning brokers.

import type { Bucket, Host } from '../../core/sdk/typescript/index.ts';
import { keptBytes, overlayKey, placementBucket, readKept } from '../wire/provisioning/overlay-placements.ts';

const connection = 'provisioning';
const watchId = 'placements';
const callMs = 10_000;
const loadMs = 30_000;
const user = 'provisioner';

export class Placements {
  readonly #bucket: Bucket;
  readonly #overlays = new Map<string, string>();
  readonly #identities = new Map<string, string>();
  readonly #draining = new Map<string, boolean>();

  private constructor(bucket: Bucket) {
    this.#bucket = bucket;
  }

  /** @throws Error that names the keys to set; PluginError if the brokers can't be reached */
  static async open(host: Host): Promise<Placements> {
    const { 'plugin.muster.placement.brokers': servers, 'plugin.muster.placement.password': password } = host.config as {
      readonly 'plugin.muster.placement.brokers'?: readonly string[];
      readonly 'plugin.muster.placement.password'?: string;
    };
    if (!servers?.length || !password)
      throw new Error(
        'placements are kept by the provisioning brokers; set plugin.muster.placement.brokers (host:port) and plugin.muster.placement.password (that of the user provisioner)',
      );
    const { tls, certname } = (await host.plugins.call('security', 'x509', 'security/identity', { role: 'client' })) as {
      tls: object;
      certname: string;
    };
    await host.bus.open({ connection, servers, name: certname, user, password, tls });
    const placements = new Placements(host.kv.bucket(connection, placementBucket));
    await placements.#load();
    return placements;
  }

  /** Nodes of an overlay. */
  nodesOf(overlay: string): string[] {
    return [...this.#overlays].flatMap(([key, name]) => (name === overlay ? (this.#identities.get(key) ?? []) : [])).sort();
  }

  /** Where nodes are now, by name. */
  get places(): ReadonlyMap<string, string> {
    return new Map([...this.#overlays].map(([key, overlay]) => [this.#identities.get(key) ?? '', overlay]));
  }

  get overlays(): string[] {
    return [...new Set([...this.#overlays.values(), ...this.#draining.keys()])].sort();
  }

  async mark(overlay: string, draining: boolean, by: string): Promise<void> {
    await this.#bucket.put(overlayKey(overlay), keptBytes({ draining, at: Date.now(), by }), { deadlineMs: callMs });
  }

  close(): Promise<void> {
    return this.#bucket.unwatch(watchId).catch(() => undefined);
  }

  async #load(): Promise<void> {
    let late: NodeJS.Timeout | undefined;
    const loaded = new Promise<void>((resolve, reject) => {
      late = setTimeout(() => reject(new Error(`placements could not be read within ${loadMs / 1000} s`)), loadMs);
      this.#bucket
        .create({ history: 1 }, { deadlineMs: callMs })
        .then(() =>
          this.#bucket.watch({ id: watchId }, ({ changes, current }) => {
            for (const { key, value } of changes) this.#take(key, value);
            if (current) resolve();
          }),
        )
        .catch(reject);
    });
    await loaded.finally(() => clearTimeout(late));
  }

  #take(key: string, value: Uint8Array | undefined): void {
    const kept = value && readKept(key, value);
    if (kept?.kind === 'overlay') this.#draining.set(kept.name, kept.state.draining);
    else if (kept) {
      this.#overlays.set(key, kept.placement.overlay);
      this.#identities.set(key, kept.placement.identity);
    } else {
      this.#overlays.delete(key);
      this.#identities.delete(key);
    }
  }
}
