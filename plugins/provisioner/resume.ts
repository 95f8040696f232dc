// What is to be done with a node of which a record is left, by whoever begins to lead.

import type { NodeRecord } from './store.ts';

export type Resumption =
  /** It was enrolled long ago. */
  | 'nothing'
  /** It was enrolled just now. */
  | 'hold'
  /** It was told to restart: it is awaited, or is up already. */
  | 'await'
  | 'up'
  /** It may have been configured: it must not be configured again before it was tried to restart it. */
  | 'restart'
  /** It was put off, and still is. */
  | 'putOff'
  /** What it was given is of no use any more. */
  | 'anew';

export interface Situation {
  readonly ageMs: number;
  readonly holdMs: number;
  /** Whether there is an overlay to look at, and whether it was seen there. */
  readonly hasOverlay: boolean;
  readonly cameUp: boolean;
}

export function planResumption({ step }: NodeRecord, { ageMs, holdMs, hasOverlay, cameUp }: Situation): Resumption {
  switch (step) {
    case 'up':
      return ageMs < holdMs ? 'hold' : 'nothing';
    case 'restarted':
      return hasOverlay && !cameUp ? 'await' : 'up';
    case 'configuring':
    case 'configured':
      return 'restart';
    case 'deferred':
    case 'failed':
    case 'refused':
      return 'putOff';
    default:
      return 'anew';
  }
}
