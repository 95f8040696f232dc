// What a plugin declared and the host keeps for it: subscriptions, timers, child processes. It belongs to the plugin's name,
// not to its process, so it outlives a crash and is carried over a reload.

import { createHash } from 'node:crypto';

/** Longer contents are known by their digest. */
const maxKeptText = 200;

export type Closer = () => void | Promise<void>;

/** Makes the declared thing real. Called only when no equal one is open under the same id. */
export type Opener = () => Closer | Promise<Closer>;

interface Declared {
  readonly contents: string;
  readonly open: Opener;
}

interface Open {
  readonly contents: string;
  readonly close: Closer;
}

export type Staged = Map<string, Declared>;

export class Declarations {
  readonly #open = new Map<string, Open>();

  get size(): number {
    return this.#open.size;
  }

  /** A set that is being declared while the present one still works. */
  stage(staged: Staged, type: string, id: string, contents: unknown, open: Opener): void {
    staged.set(`${type} ${id}`, { contents: fingerprint(contents), open });
  }

  /**
   * Switches to a staged set: equal ids with equal contents are kept untouched, new ones are opened, then the missing
   * and the replaced ones closed. If one can't be opened, those opened so far are closed and everything stays as it was.
   */
  async switchTo(staged: Staged): Promise<void> {
    const opened = new Map<string, Open>();
    try {
      for (const [key, { contents, open }] of staged) {
        if (this.#open.get(key)?.contents !== contents) opened.set(key, { contents, close: await open() });
      }
    } catch (error) {
      for (const { close } of opened.values()) await close();
      throw error;
    }
    const obsolete = [...this.#open].filter(([key]) => !staged.has(key) || opened.has(key));
    for (const [key] of obsolete) this.#open.delete(key);
    for (const [key, entry] of opened) this.#open.set(key, entry);
    for (const [, { close }] of obsolete) await close();
  }

  /** Declares one more thing in the present set. */
  async declare(type: string, id: string, contents: unknown, open: Opener): Promise<void> {
    const key = `${type} ${id}`;
    const text = fingerprint(contents);
    const present = this.#open.get(key);
    if (present?.contents === text) return;
    const close = await open();
    this.#open.set(key, { contents: text, close });
    await present?.close();
  }

  /** Ends one; false if there is none. */
  async undeclare(type: string, id: string): Promise<boolean> {
    const key = `${type} ${id}`;
    const present = this.#open.get(key);
    if (!present) return false;
    this.#open.delete(key);
    await present.close();
    return true;
  }

  /** Ends everything, last declared first; none waits for another. */
  async close(): Promise<void> {
    const all = [...this.#open.values()].reverse();
    this.#open.clear();
    await Promise.all(all.map(async ({ close }) => close()));
  }
}

/** Tells equal contents from others; what is long is not kept for it, since thousands of hosts share a process. */
function fingerprint(contents: unknown): string {
  const text = JSON.stringify(contents);
  return text.length <= maxKeptText ? text : createHash('sha256').update(text).digest('base64');
}
