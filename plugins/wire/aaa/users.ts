// A list of users as Choria's AAA service has it: read whole, checked whole.

import { type UserEntries, type UserEntry, validate } from '#schemas/choria/aaa/v1/users';
import { callerOf } from '../tokens/client.ts';
import { AaaError } from './errors.ts';
import { goDurationSeconds } from './go-duration.ts';

export type { UserEntry };

/** @param where for errors, such as the file. @throws AaaError `AAA_USERS` telling every problem */
export function readUsers(text: string, where: string): UserEntry[] {
  let value: unknown;
  try {
    value = JSON.parse(text) as unknown;
  } catch {
    // What JSON.parse says quotes the text, which holds hashes of passwords.
    throw new AaaError('AAA_USERS', `${where} is not JSON; it must be a list of users`);
  }
  return checkUsers(value, where);
}

/** @throws AaaError `AAA_USERS` */
export function checkUsers(value: unknown, where: string): UserEntries {
  if (!validate(value)) {
    const [error] = validate.errors ?? [];
    const [, index, ...path] = (error?.instancePath ?? '').split('/');
    const entry = index === undefined ? 'it' : `entry ${Number(index) + 1}${nameAt(value, Number(index))}`;
    throw new AaaError('AAA_USERS', `${where}: ${[entry, ...path].join(' ')} ${error?.message ?? 'does not fit'}`);
  }
  const problems = [...collisions(value), ...value.flatMap(entryProblems)];
  if (problems.length > 0) throw new AaaError('AAA_USERS', `${where}: ${problems.join('; ')}`);
  return value;
}

/** Names that are the same for a signer are refused, or one user would be taken for the other. */
function collisions(users: UserEntries): string[] {
  const taken = new Map<string, string>();
  return users.flatMap(({ username }) => {
    const caller = callerOf({ callerid: `up=${username}` });
    const other = taken.get(caller);
    taken.set(caller, username);
    if (other === undefined) return [];
    if (other === username) return [`${shown(username)} is there twice`];
    return [`${shown(other)} and ${shown(username)} would both be the caller ${shown(caller)}`];
  });
}

function entryProblems({ username, validity }: UserEntry): string[] {
  if (!validity || goDurationSeconds(validity)) return [];
  return [`the validity '${shown(validity)}' of ${shown(username)} is no duration such as 30m or 8h`];
}

function nameAt(value: unknown, index: number): string {
  const entry: unknown = Array.isArray(value) ? value[index] : undefined;
  const { username } = (entry ?? {}) as { username?: unknown };
  return typeof username === 'string' ? ` (${shown(username)})` : '';
}

/** What stands for a name may be a hash, in a list that was edited badly. */
function shown(name: string): string {
  return name.includes('$') ? 'a name with $' : name.slice(0, 60);
}
