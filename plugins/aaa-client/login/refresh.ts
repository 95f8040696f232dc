// A token whose life is mostly over gets a successor, before a request is signed with it.

import { readFileSync } from 'node:fs';
import { readClientToken } from '../../wire/tokens/client.ts';
import { keyFromSeed } from '../../wire/tokens/ed25519.ts';
import { writeWhole } from '../../wire/whole-file.ts';
import type { LoginFiles } from './config.ts';
import { refreshToken, type Service } from './request.ts';

const staleMs = 20_000;

/**
 * The token to use, which is a new one if two thirds of the old one's life are over; the old one if nobody gives another.
 * @param onProblem why there is no new one
 */
export async function refreshed(
  service: Service,
  files: LoginFiles,
  onProblem: (message: string) => void,
  now = Date.now(),
): Promise<string> {
  const token = readFileSync(files.token, 'utf8').trim();
  const { iat, exp } = await readClientToken(token);
  if (iat === undefined || exp === undefined || !isDue(iat, exp, now / 1_000)) return token;
  const { lock } = await import('proper-lockfile');
  // Of several commands at once one refreshes; the others go on with what they have.
  const release = await lock(files.token, { stale: staleMs }).catch(() => undefined);
  if (!release) return token;
  try {
    const fresh = await refreshToken(service, token, keyFromSeed(readFileSync(files.seed, 'utf8').trim()));
    writeWhole(files.token, fresh.token, 0o600);
    return fresh.token;
  } catch (error) {
    onProblem(`the token is not refreshed: ${(error as Error).message}`);
    return token;
  } finally {
    await release().catch(() => undefined);
  }
}

/** Past two thirds of its life, and not over yet. */
function isDue(iat: number, exp: number, now: number): boolean {
  return now < exp && now - iat > ((exp - iat) * 2) / 3;
}
