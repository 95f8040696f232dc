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

export interface Count {
  readonly key: string;
  readonly count: number;
  readonly ends: number;
}

/** What other instances counted, where there are some. */
export interface Elsewhere {
  count(key: string, now: number): number;
  tell(counts: readonly Count[]): void;
  clear(keys: readonly string[]): void;
}

/**
 * Wrong logins by user and by address, and wrong codes of the second factor by caller, to which those of other instances are
 * added; and all logins by address, which each instance counts alone.
 */
export class LoginLimits {
  readonly #users: Limit;
  readonly #addresses: Limit;
  /** Apart from wrong logins, since a password or ID token may be right. */
  readonly #codes: Limit;
  readonly #rate: Limit;
  readonly #elsewhere: Elsewhere | undefined;

  constructor({ failuresByUser, failuresByAddress, windowMs, loginsByAddress }: LimitSettings, elsewhere?: Elsewhere) {
    this.#elsewhere = elsewhere;
    this.#users = new Limit(failuresByUser, windowMs);
    this.#addresses = new Limit(failuresByAddress, windowMs);
    this.#codes = new Limit(failuresByUser, windowMs);
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

  /** Before a code is checked; it counts as wrong until `codeWasRight`. */
  beginCode(caller: string, now: number): string | undefined {
    const isAllowed = this.#codes.take(caller, now, this.#elsewhere?.count(codeKey(caller), now));
    return isAllowed ? undefined : 'too many wrong codes of the second factor';
  }

  codeWasRight(caller: string): void {
    this.#codes.giveBack(caller);
  }

  succeeded(user: string, address: string, caller: string): void {
    this.#users.clear(user);
    this.#codes.clear(caller);
    this.#addresses.giveBack(address);
    this.#elsewhere?.clear([userKey(user), codeKey(caller)]);
  }

  /** It was looked at, and wrong. @param caller whose code was wrong, if that was it */
  failed(user: string, address: string, caller?: string): void {
    const counts = [
      countOf(userKey(user), this.#users.of(user)),
      countOf(addressKey(address), this.#addresses.of(address)),
      caller === undefined ? [] : countOf(codeKey(caller), this.#codes.of(caller)),
    ].flat();
    if (counts.length > 0) this.#elsewhere?.tell(counts);
  }

  /** Another instance had a good login. @param key as it was told */
  clearedElsewhere(key: string): void {
    if (key.startsWith(userPrefix)) this.#users.clear(key.slice(userPrefix.length));
    if (key.startsWith(codePrefix)) this.#codes.clear(key.slice(codePrefix.length));
  }
}

const userPrefix = 'user ';
const codePrefix = 'code ';

function userKey(user: string): string {
  return userPrefix + user;
}

function addressKey(address: string): string {
  return `address ${address}`;
}

function codeKey(caller: string): string {
  return codePrefix + caller;
}

function countOf(key: string, counted: Omit<Count, 'key'> | undefined): readonly Count[] {
  return counted && counted.count > 0 ? [{ key, count: counted.count, ends: counted.ends }] : [];
}
