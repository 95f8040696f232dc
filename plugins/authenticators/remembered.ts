// What is kept of users in memory until a time, in bounded size.

const most = 20_000;

export class Remembered<T> {
  readonly #all = new Map<string, { readonly value: T; readonly until: number }>();

  /** @param until Unix milliseconds. @returns false if there is no room, since nothing that still counts is dropped */
  keep(key: string, value: T, until: number, now: number): boolean {
    this.#all.delete(key);
    if (this.#all.size >= most) for (const [old, entry] of this.#all) if (entry.until <= now) this.#all.delete(old);
    if (this.#all.size >= most) return false;
    this.#all.set(key, { value, until });
    return true;
  }

  get(key: string, now: number): T | undefined {
    const entry = this.#all.get(key);
    return entry && entry.until > now ? entry.value : undefined;
  }

  has(key: string, now: number): boolean {
    return (this.#all.get(key)?.until ?? 0) > now;
  }
}
