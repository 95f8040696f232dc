// How often somebody may try. What is tried is counted before it is checked, so that a thousand at once are not checked either.

const mostKeys = 100_000;

interface Window {
  count: number;
  readonly ends: number;
}

/** Counts by key within windows of time, in bounded memory. */
export class Limit {
  readonly #most: number;
  readonly #windowMs: number;
  readonly #windows = new Map<string, Window>();

  constructor(most: number, windowMs: number) {
    this.#most = most;
    this.#windowMs = windowMs;
  }

  get size(): number {
    return this.#windows.size;
  }

  /** Counts one more. @returns whether that is still allowed */
  take(key: string, now: number): boolean {
    const open = this.#windows.get(key);
    if (open && open.ends > now) {
      open.count += 1;
      return open.count <= this.#most;
    }
    this.#windows.delete(key);
    if (this.#windows.size >= mostKeys) this.#forgetOldest();
    this.#windows.set(key, { count: 1, ends: now + this.#windowMs });
    return true;
  }

  /** One that was counted was none to count. */
  giveBack(key: string): void {
    const open = this.#windows.get(key);
    if (open && open.count > 0) open.count -= 1;
  }

  clear(key: string): void {
    this.#windows.delete(key);
  }

  /** The window that was opened first is over first. */
  #forgetOldest(): void {
    const [oldest] = this.#windows.keys();
    if (oldest !== undefined) this.#windows.delete(oldest);
  }
}

export interface LimitSettings {
  readonly failuresByUser: number;
  readonly failuresByAddress: number;
  readonly windowMs: number;
  readonly loginsByAddress: number;
}

/** Wrong logins by user and by address, and all by address. */
export class LoginLimits {
  readonly #users: Limit;
  readonly #addresses: Limit;
  readonly #rate: Limit;

  constructor({ failuresByUser, failuresByAddress, windowMs, loginsByAddress }: LimitSettings) {
    this.#users = new Limit(failuresByUser, windowMs);
    this.#addresses = new Limit(failuresByAddress, windowMs);
    this.#rate = new Limit(loginsByAddress, 60_000);
  }

  /** Before anything is checked. @returns why not, for the log */
  admit(address: string, now: number): string | undefined {
    return this.#rate.take(address, now) ? undefined : 'too many logins from this address within a minute';
  }

  /** Before a credential is checked; it counts as wrong until `succeeded`. */
  begin(user: string, address: string, now: number): string | undefined {
    const byAddress = this.#addresses.take(address, now);
    const byUser = this.#users.take(user, now);
    if (!byAddress) return 'too many wrong logins from this address';
    return byUser ? undefined : 'too many wrong logins of this user';
  }

  succeeded(user: string, address: string): void {
    this.#users.clear(user);
    this.#addresses.giveBack(address);
  }
}
