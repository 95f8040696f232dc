// What instances tell each other of wrong logins, signed with the key that tokens are issued with, which they all have: whoever
// has a certificate of the fleet may write to the bucket as well.

import { type SharedFailure, validate } from '#schemas/muster/aaa/v1/shared_failure';
import { TokenError } from '../../wire/tokens/errors.ts';
import { signToken } from '../../wire/tokens/jwt.ts';
import type { SigningKeys } from './keys.ts';

const purpose = 'muster_wrong_logins';
/** One has some hundred bytes, with RSA some hundred more. */
const mostBytes = 4_096;
/** Clocks differ by this much at most, as with logins. */
const mostAheadMs = 60_000;
const clearedEnd = '.cleared';

/** Said by one instance at one time; either of the two, or both. */
export type Said = Pick<SharedFailure, 'instance' | 'at' | 'counts' | 'cleared'>;

export interface Place {
  readonly key: string;
  readonly instance: string;
  readonly isClear: boolean;
}

/** Where it stands in the bucket: that a good login cleared something is not lost when its instance counts anew. */
export function entryOf({ key, instance, isClear }: Place): string {
  return `${key}.${instance}${isClear ? clearedEnd : ''}`;
}

export function placeOf(entry: string): Place {
  const isClear = entry.endsWith(clearedEnd);
  const rest = isClear ? entry.slice(0, -clearedEnd.length) : entry;
  const dot = rest.lastIndexOf('.');
  return { key: rest.slice(0, Math.max(0, dot)), instance: rest.slice(dot + 1), isClear };
}

/** @param endsMs when nothing of it matters any more. @throws TokenError */
export async function sign(said: Said, keys: SigningKeys, endsMs: number): Promise<Uint8Array> {
  const { key } = await keys.issuer();
  return Buffer.from(await signToken({ purpose, ...said, exp: Math.ceil(endsMs / 1_000) }, key));
}

/** @throws TokenError for what no instance said at this place, `TOKEN_EXPIRED` for what does not matter any more */
export async function verify(value: Uint8Array, place: Place, keys: SigningKeys, nowMs: number): Promise<Said> {
  if (value.length > mostBytes) throw new TokenError('TOKEN_FORMAT', `${value.length} bytes are no statement of wrong logins`);
  const claims = await keys.verify(Buffer.from(value).toString('utf8'), new Date(nowMs));
  if (!validate(claims)) throw new TokenError('TOKEN_CLAIMS', 'it is no statement of wrong logins');
  const { instance, at, counts = [], cleared = [] } = claims;
  const keysSaid = place.isClear ? cleared : counts.map(({ key }) => key);
  if (instance !== place.instance || !keysSaid.includes(place.key))
    throw new TokenError('TOKEN_CLAIMS', 'it speaks of something else than its key says');
  if (at > nowMs + mostAheadMs) throw new TokenError('TOKEN_NOT_YET', 'it is dated in the future; compare the clocks');
  return claims;
}
