// The files that these commands change: read, changed and written whole while nobody else does.

import { chownSync, existsSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { AaaError } from '../../wire/aaa/errors.ts';
import { readSecondFactors, type SecondFactors } from '../../wire/aaa/second-factors.ts';
import { readSection } from '../../wire/aaa/settings.ts';
import { checkUsers, readUsers, type UserEntry } from '../../wire/aaa/users.ts';
import { writeWhole } from '../../wire/whole-file.ts';

const staleMs = 10_000;
const retries = { retries: 20, minTimeout: 50, maxTimeout: 250 };
const mode = 0o600;

export interface Places {
  readonly users: string;
  readonly secondFactors: string | undefined;
  readonly secondFactorKey: string | undefined;
}

/** @param named file of the users, over that of the settings. @throws AaaError `AAA_SETTINGS` */
export function placesOf(settings: string | undefined, named: string | undefined): Places {
  const userlist = settings === undefined ? undefined : readSection(settings, 'userlist_authenticator');
  const login = settings === undefined ? undefined : readSection(settings, 'login');
  const factor = (login?.second_factor ?? {}) as { file?: unknown; key?: unknown };
  const users = named ?? userlist?.users_file;
  if (typeof users !== 'string' || users === '')
    throw new AaaError(
      'AAA_SETTINGS',
      'nothing says which list of users is meant; name it with --users, or the configuration of the AAA service with --config',
    );
  return {
    users,
    secondFactors: typeof factor.file === 'string' ? factor.file : undefined,
    secondFactorKey: typeof factor.key === 'string' ? factor.key : undefined,
  };
}

/** @throws AaaError `AAA_USERS` */
export function usersIn(file: string): UserEntry[] {
  return existsSync(file) ? readUsers(read(file), file) : [];
}

/** @throws AaaError `AAA_USERS` also for what would be written */
export async function changeUsers(file: string, change: (users: readonly UserEntry[]) => readonly UserEntry[]): Promise<void> {
  await locked(file, () => {
    const users = checkUsers(change(usersIn(file)), file);
    replace(file, users);
  });
}

export function secondFactorsIn(file: string): SecondFactors {
  return existsSync(file) ? readSecondFactors(read(file), file) : { users: {} };
}

export async function changeSecondFactors(
  file: string,
  change: (factors: SecondFactors['users']) => SecondFactors['users'],
): Promise<void> {
  await locked(file, () => {
    const users = change(secondFactorsIn(file).users);
    replace(file, { users });
  });
}

/** It stays the property of whoever had it: the service may run as somebody else than whoever types commands. */
function replace(file: string, value: unknown): void {
  const before = statSync(file, { throwIfNoEntry: false });
  writeWhole(file, `${JSON.stringify(value, undefined, 2)}\n`, mode);
  if (before && process.getuid?.() === 0) chownSync(file, before.uid, before.gid);
}

async function locked(file: string, work: () => void): Promise<void> {
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const { lock } = await import('proper-lockfile');
  const release = await lock(file, { realpath: false, stale: staleMs, retries });
  try {
    work();
  } finally {
    await release();
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new AaaError('AAA_USERS', `${file} can not be read: ${(error as Error).message}`, { cause: error });
  }
}
