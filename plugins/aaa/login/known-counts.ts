// What instances of the service told of wrong logins, as far as it counts. Statements may come twice, late, in any order, or not
// at all: what is known afterwards is the same.

/** Keys that are remembered; whoever comes with ever new names must not fill the memory. */
const mostKeys = 50_000;

export interface Counted {
  /** Milliseconds since 1970, later with each wrong login of a key. */
  readonly at: number;
  readonly count: number;
  /** When its window is over. */
  readonly ends: number;
}

interface About {
  /** Of the last good login. */
  cleared: number;
  readonly instances: Map<string, Counted>;
}

export class KnownCounts {
  readonly #about = new Map<string, About>();

  /** What others counted within windows that are open. */
  count(key: string, now: number): number {
    const about = this.#about.get(key);
    let sum = 0;
    for (const counted of about?.instances.values() ?? []) if (counts(counted, about, now)) sum += counted.count;
    return sum;
  }

  /** The last moment at which something of it was stated. */
  lastOf(key: string): number {
    const about = this.#about.get(key);
    return Math.max(this.clearedAt(key), ...[...(about?.instances.values() ?? [])].map(({ at }) => at));
  }

  clearedAt(key: string): number {
    return this.#about.get(key)?.cleared ?? 0;
  }

  /** The later statement of an instance takes the place of the earlier one, whichever comes first: one that is replayed changes nothing. */
  hearCount(key: string, instance: string, counted: Counted, now: number): void {
    const about = this.#at(key);
    for (const [other, { ends }] of about.instances) if (ends <= now) about.instances.delete(other);
    const known = about.instances.get(instance);
    if (counted.ends > now && (!known || counted.at > known.at)) about.instances.set(instance, counted);
  }

  /**
   * A good login clears what was counted until then, and at the same time: it is dated by the last wrong one that its instance
   * knew of, if that was later than its clock. Where a wrong one came in between, all that its instance counted stays.
   */
  hearClear(key: string, at: number): void {
    const about = this.#at(key);
    about.cleared = Math.max(about.cleared, at);
  }

  #at(key: string): About {
    const about = this.#about.get(key) ?? { cleared: 0, instances: new Map<string, Counted>() };
    this.#about.delete(key);
    this.#about.set(key, about);
    forgetOldest(this.#about, mostKeys);
    return about;
  }
}

function counts({ at, ends }: Counted, about: About | undefined, now: number): boolean {
  return ends > now && at > (about?.cleared ?? 0);
}

/** Whatever was not touched for longest. */
export function forgetOldest(map: Map<string, unknown>, most: number): void {
  const [oldest] = map.keys();
  if (map.size > most && oldest !== undefined) map.delete(oldest);
}
