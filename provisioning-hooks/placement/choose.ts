// Which overlay a node gets: its own again, that of its like, or the emptiest.

import { createHash } from 'node:crypto';
import { lookup } from '../../plugins/wire/facts.ts';
import type { Placement } from '../../plugins/wire/provisioning/overlay-placements.ts';
import type { Ledger } from './ledger.ts';
import type { Candidate, Overlay, Plan } from './overlays.ts';

export type Choice =
  | { readonly overlay: Overlay; readonly placement: Placement }
  /** Why there is no place. */
  | { readonly reason: string };

/** Of the value of a fact; more than this is told apart by its hash. */
const maxShown = 200;
/** What an overlay is made for, unless its capacity is said. */
export const usualCapacity = 20_000;

export function choose(node: Candidate, plan: Plan, ledger: Ledger, now: number): Choice {
  const rule = plan.rules.find((candidate) => candidate.fits(node));
  if (!rule) return { reason: 'no rule fits it' };
  const allowed = rule.overlays.flatMap((name) => plan.overlays.get(name) ?? []);
  const open = allowed.filter((overlay) => !(ledger.isDraining(overlay.name) ?? overlay.draining ?? false));
  const together = commonValue(node.facts, rule.together);
  const spread = commonValue(node.facts, rule.spread);
  const place = (overlay: Overlay): Choice => ({
    overlay,
    placement: {
      identity: node.identity,
      overlay: overlay.name,
      at: now,
      ...(together !== undefined && { together }),
      ...(spread !== undefined && { spread }),
    },
  });
  const before = ledger.get(node.identity)?.overlay;
  const own = open.find(({ name }) => name === before);
  if (own) return place(own);
  const free = open.filter(({ name, capacity = usualCapacity }) => ledger.nodes(name) < capacity);
  const [best] = ranked(free, ledger, { together, spread });
  if (best) return place(best);
  const names = (overlays: readonly Overlay[]) => overlays.map(({ name }) => name).join(', ');
  return { reason: open.length === 0 ? `${names(allowed)} takes no nodes` : `${names(open)} is full` };
}

/** Where its like are, most first; then where few are that it should not be with; then the emptiest; then as in the file. */
function ranked(
  overlays: readonly Overlay[],
  ledger: Ledger,
  { together, spread }: { readonly together: string | undefined; readonly spread: string | undefined },
): Overlay[] {
  const fill = ({ name, capacity = usualCapacity, weight = 1 }: Overlay) => ledger.nodes(name) / (capacity * weight);
  const alike = ({ name }: Overlay) => (together === undefined ? 0 : ledger.alike(name, 'together', together));
  const rivals = ({ name }: Overlay) => (spread === undefined ? 0 : ledger.alike(name, 'spread', spread));
  return overlays.toSorted((a, b) => alike(b) - alike(a) || rivals(a) - rivals(b) || fill(a) - fill(b));
}

/** With the name of the fact, so that another fact with the same value is another thing. */
function commonValue(facts: unknown, path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  const value = lookup(facts, path);
  if (value === undefined || value === null || value === '') return undefined;
  const text = `${path}=${JSON.stringify(value)}`;
  return text.length <= maxShown ? text : `${path.slice(0, maxShown)}#${createHash('sha256').update(text).digest('hex')}`;
}
