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

  /** Counts one more. @param elsewhere what others counted of it. @returns whether that is still allowed */
  take(key: string, now: number, elsewhere = 0): boolean {
    const open = this.#windows.get(key);
    if (open && open.ends > now) {
      open.count += 1;
      return open.count + elsewhere <= this.#most;
    }
    this.#windows.delete(key);
    if (this.#windows.size >= mostKeys) this.#forgetOldest();
    this.#windows.set(key, { count: 1, ends: now + this.#windowMs });
    return 1 + elsewhere <= this.#most;
  }

  /** What was counted in the window that is open. */
  of(key: string): { readonly count: number; readonly ends: number } | undefined {
    return this.#windows.get(key);
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

/** What other instances counted, where there are some. */
export interface Elsewhere {
  count(key: string, now: number): number;
  tell(key: string, counted: { readonly count: number; readonly ends: number }): void;
  clear(key: string): void;
}

/** Wrong logins by user and by address, and all by address; those of other instances are added. */
export class LoginLimits {
  readonly #users: Limit;
  readonly #addresses: Limit;
  readonly #rate: Limit;
  readonly #elsewhere: Elsewhere | undefined;

  constructor({ failuresByUser, failuresByAddress, windowMs, loginsByAddress }: LimitSettings, elsewhere?: Elsewhere) {
    this.#elsewhere = elsewhere;
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
    const byAddress = this.#addresses.take(address, now, this.#elsewhere?.count(addressKey(address), now));
    const byUser = this.#users.take(user, now, this.#elsewhere?.count(userKey(user), now));
    if (!byAddress) return 'too many wrong logins from this address';
    return byUser ? undefined : 'too many wrong logins of this user';
  }

  succeeded(user: string, address: string): void {
    this.#users.clear(user);
    this.#addresses.giveBack(address);
    this.#elsewhere?.clear(userKey(user));
  }

  /** It was looked at, and wrong. */
  failed(user: string, address: string): void {
    const [ofUser, ofAddress] = [this.#users.of(user), this.#addresses.of(address)];
    if (ofUser) this.#elsewhere?.tell(userKey(user), ofUser);
    if (ofAddress) this.#elsewhere?.tell(addressKey(address), ofAddress);
  }

  /** Another instance had a good login. @param key as it was told */
  clearedElsewhere(key: string): void {
    if (key.startsWith(userPrefix)) this.#users.clear(key.slice(userPrefix.length));
  }
}

const userPrefix = 'user ';

function userKey(user: string): string {
  return userPrefix + user;
}

function addressKey(address: string): string {
  return `address ${address}`;
}
