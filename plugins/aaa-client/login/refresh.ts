// A token whose life is mostly over gets a successor, before a request is signed with it.

import { readFileSync } from 'node:fs';
import { readClientToken } from '../../wire/tokens/client.ts';
import { keyFromSeed } from '../../wire/tokens/ed25519.ts';
import { writeWhole } from '../../wire/whole-file.ts';
import type { LoginFiles } from './config.ts';
import { whileLocked } from './keep.ts';
import { refreshToken, type Service } from './request.ts';

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
  const token = read(files.token);
  if (!(await isDue(token, now))) return token;
  try {
    return await whileLocked(files, async () => {
      // Of several commands at once one refreshes, and the others find what it got; or somebody has logged in anew.
      const current = read(files.token);
      if (!(await isDue(current, now))) return current;
      const fresh = await refreshToken(service, current, keyFromSeed(read(files.seed)));
      writeWhole(files.token, fresh.token, 0o600);
      return fresh.token;
    });
  } catch (error) {
    onProblem(`the token is not refreshed: ${(error as Error).message}`);
    return token;
  }
}

function read(file: string): string {
  return readFileSync(file, 'utf8').trim();
}

/** Past two thirds of its life, and not over yet. */
async function isDue(token: string, now: number): Promise<boolean> {
  const { iat, exp } = await readClientToken(token);
  if (iat === undefined || exp === undefined) return false;
  const seconds = now / 1_000;
  return seconds < exp && seconds - iat > ((exp - iat) * 2) / 3;
}
