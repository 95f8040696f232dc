// Watches folders of bundles and tells when one has come to rest after a change.

import { mkdirSync } from 'node:fs';
import { sep } from 'node:path';
import { type FSWatcher, watch } from 'chokidar';
import { isLeftOut } from './bundle.ts';
import type { HostLog } from './log.ts';

/** A bundle that did not change for this long is taken to be whole. */
const settleMs = 250;

export interface WatcherOptions {
  readonly onSettled: (bundleFolder: string) => void;
  readonly log: HostLog;
}

export class BundleWatcher {
  readonly #parents: readonly string[];
  readonly #options: WatcherOptions;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  #watcher: FSWatcher | undefined;

  constructor(parents: readonly string[], options: WatcherOptions) {
    this.#parents = parents;
    this.#options = options;
  }

  async start(): Promise<void> {
    // A folder that is not there can't be watched.
    for (const folder of this.#parents) {
      try {
        mkdirSync(folder, { recursive: true });
      } catch (error) {
        this.#options.log.debug({ folder }, `bundles can't be dropped here: ${(error as Error).message}`);
      }
    }
    const watcher = watch([...this.#parents], {
      ignoreInitial: true,
      followSymlinks: true,
      ignored: isLeftOut,
    });
    this.#watcher = watcher;
    watcher.on('all', (_event, path) => this.#touched(path));
    watcher.on('error', (error) =>
      this.#options.log.warn(
        {},
        `changes in ${this.#parents.join(', ')} may go unseen: ${(error as Error).message}; load them with: muster plugin reload <bundle>`,
      ),
    );
    await new Promise<void>((resolve) => watcher.once('ready', () => resolve()));
  }

  async stop(): Promise<void> {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    await this.#watcher?.close();
  }

  #touched(path: string): void {
    const parent = this.#parents.find((folder) => path.startsWith(folder + sep));
    if (parent === undefined) return;
    const name = path.slice(parent.length + 1).split(sep)[0];
    if (!name) return;
    const bundle = `${parent}${sep}${name}`;
    clearTimeout(this.#timers.get(bundle));
    this.#timers.set(
      bundle,
      setTimeout(() => {
        this.#timers.delete(bundle);
        this.#options.onSettled(bundle);
      }, settleMs),
    );
  }
}
