// Which node belongs to which overlay, as it is kept in the bucket that provisioners and commands share.

import { type OverlayState, validate as validateState } from '#schemas/muster/placement/v1/overlay_state';
import { type Placement, validate as validatePlacement } from '#schemas/muster/placement/v1/placement';

export type { OverlayState, Placement };

export const placementBucket = 'MUSTER_PLACEMENTS';

/** Names of nodes are keys as they are, but for those with letters that no key has. */
export function placementKey(identity: string): string {
  return `node.${/^[\w-]+(\.[\w-]+)*$/.test(identity) ? identity : `=${Buffer.from(identity).toString('hex')}`}`;
}

export function overlayKey(name: string): string {
  return `overlay.${name}`;
}

/** What a key has: a placement or the state of an overlay; undefined for what can't be read. */
export type Kept =
  | { readonly kind: 'placement'; readonly placement: Placement }
  | { readonly kind: 'overlay'; readonly name: string; readonly state: OverlayState };

export function readKept(key: string, value: Uint8Array): Kept | undefined {
  const content = parsed(value);
  if (key.startsWith('overlay.'))
    return validateState(content) ? { kind: 'overlay', name: key.slice('overlay.'.length), state: content } : undefined;
  return key.startsWith('node.') && validatePlacement(content) ? { kind: 'placement', placement: content } : undefined;
}

export function keptBytes(content: Placement | OverlayState): Uint8Array {
  return Buffer.from(JSON.stringify(content));
}

function parsed(value: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(value).toString());
  } catch {
    return undefined;
  }
}
