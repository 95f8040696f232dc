// Where all nodes are, in memory: what was kept, and what was promised and is not kept yet, so that nodes that come at once
// do not all take the last place.

import { type Kept, type Placement, placementKey } from '../../plugins/wire/provisioning/overlay-placements.ts';

const separator = '\u0000';

export class Ledger {
  readonly #placements = new Map<string, Placement>();
  readonly #keys = new Map<string, string>();
  /** Nodes by overlay, and by overlay and what they have in common. */
  readonly #counts = new Map<string, number>();
  readonly #draining = new Map<string, boolean>();

  get size(): number {
    return this.#placements.size;
  }

  get(identity: string): Placement | undefined {
    return this.#placements.get(identity);
  }

  set(placement: Placement): void {
    this.remove(placement.identity);
    this.#placements.set(placement.identity, placement);
    this.#keys.set(placementKey(placement.identity), placement.identity);
    this.#count(placement, 1);
  }

  remove(identity: string): void {
    const placement = this.#placements.get(identity);
    if (!placement) return;
    this.#placements.delete(identity);
    this.#keys.delete(placementKey(identity));
    this.#count(placement, -1);
  }

  /** Takes what was kept. */
  apply(kept: Kept): void {
    if (kept.kind === 'placement') this.set(kept.placement);
    else this.#draining.set(kept.name, kept.state.draining);
  }

  /** What was kept under this key is no more. */
  removeKey(key: string): void {
    const identity = this.#keys.get(key);
    if (identity !== undefined) this.remove(identity);
    else if (key.startsWith('overlay.')) this.#draining.delete(key.slice('overlay.'.length));
  }

  clear(): void {
    this.#keys.clear();
    this.#placements.clear();
    this.#counts.clear();
    this.#draining.clear();
  }

  /** Forgets nodes that were not enrolled since then. */
  forget(before: number): void {
    for (const { identity, at } of [...this.#placements.values()]) if (at < before) this.remove(identity);
  }

  /** What operators said; undefined if nothing. */
  isDraining(overlay: string): boolean | undefined {
    return this.#draining.get(overlay);
  }

  nodes(overlay: string): number {
    return this.#counts.get(overlay) ?? 0;
  }

  /** Nodes of an overlay that have the same in a fact that keeps together, or spreads. */
  alike(overlay: string, what: 'together' | 'spread', value: string): number {
    return this.#counts.get([overlay, what, value].join(separator)) ?? 0;
  }

  all(): Iterable<Placement> {
    return this.#placements.values();
  }

  #count({ overlay, together, spread }: Placement, by: 1 | -1): void {
    const add = (key: string) => {
      const count = (this.#counts.get(key) ?? 0) + by;
      if (count > 0) this.#counts.set(key, count);
      else this.#counts.delete(key);
    };
    add(overlay);
    if (together !== undefined) add([overlay, 'together', together].join(separator));
    if (spread !== undefined) add([overlay, 'spread', spread].join(separator));
  }
}
