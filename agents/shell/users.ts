// How a command runs as another user: with the groups of that user and none of ours.

import { execFile } from 'node:child_process';
import { userInfo } from 'node:os';
import { promisify } from 'node:util';
import { ActionError } from 'muster/sdk';

const namePattern = /^[A-Za-z0-9_][A-Za-z0-9_.@-]{0,254}\$?$/;
const lookupMs = 10_000;

export interface Account {
  readonly name: string;
  readonly home: string;
  readonly shell: string;
  /** What comes before the command for it to run as this user. */
  readonly prefix: readonly string[];
}

/** @throws ActionError if there is no such user, or we may not become it */
export async function accountOf(user: string | undefined): Promise<Account> {
  const own = userInfo();
  if (user === undefined || user === own.username)
    return { name: own.username, home: own.homedir, shell: own.shell ?? '/bin/sh', prefix: [] };
  if (!namePattern.test(user))
    throw new ActionError(`${JSON.stringify(user.slice(0, 100))} is not the name of a user`, { status: 4 });
  const [name = '', , uid = '', gid = '', , home = '/', shell = '/bin/sh'] = await lookUp(user);
  if (own.uid !== 0) throw new ActionError(`this node runs as ${own.username} and can not run commands as ${user}`);
  return { name, home, shell, prefix: ['setpriv', '--reuid', uid, '--regid', gid, '--init-groups', '--'] };
}

/** By getent, which also knows users of directories. */
async function lookUp(user: string): Promise<string[]> {
  try {
    const { stdout } = await promisify(execFile)('getent', ['passwd', user], { timeout: lookupMs });
    return stdout.trim().split(':');
  } catch (error) {
    throw new ActionError(`there is no user ${user} on this machine`, { cause: error });
  }
}
