// The users that may log in now: those of the settings and those of the file, which replaces what it held before whole.

import { readFileSync } from 'node:fs';
import { AaaError } from '../../wire/aaa/errors.ts';
import { KeptFile } from '../../wire/aaa/kept-file.ts';
import { isPasswordHash } from '../../wire/aaa/passwords.ts';
import { checkUsers, readUsers, type UserEntry } from '../../wire/aaa/users.ts';

export interface ListEvents {
  /** A list counts from now on. */
  readonly onLoaded: (users: readonly UserEntry[]) => void;
  /** A list does not count, told once. */
  readonly onProblem: (message: string) => void;
}

export class UserList {
  readonly #inline: readonly UserEntry[];
  readonly #file: KeptFile<readonly UserEntry[]> | undefined;
  readonly #events: ListEvents;
  #users: ReadonlyMap<string, UserEntry> = new Map();
  #hashes: readonly string[] = [];
  #loaded: readonly UserEntry[] | undefined;
  #problem: string | undefined;

  constructor(
    { users, file }: { readonly users: unknown; readonly file: string | undefined },
    where: string,
    events: ListEvents,
  ) {
    this.#events = events;
    this.#inline = checkUsers(users, where);
    this.#file =
      file === undefined
        ? undefined
        : new KeptFile(file, () => this.#together(readUsers(readFileSync(file, 'utf8'), file), `${where} and ${file}`));
  }

  /** By name. While the file can not be used, those that it held before. */
  users(): ReadonlyMap<string, UserEntry> {
    const now = this.#read();
    if (now && now !== this.#loaded) {
      this.#loaded = now;
      this.#users = new Map(now.map((user) => [user.username, user]));
      this.#hashes = now.flatMap(({ password }) => (password && isPasswordHash(password) ? [password] : []));
      this.#events.onLoaded(now);
    }
    return this.#users;
  }

  /** Of the users that were last asked for. */
  get hashes(): readonly string[] {
    return this.#hashes;
  }

  /** Why the file does not count, if it does not. */
  get problem(): string | undefined {
    return this.#problem;
  }

  #read(): readonly UserEntry[] | undefined {
    if (!this.#file) return this.#inline;
    try {
      const users = this.#file.read();
      this.#problem = undefined;
      return users;
    } catch (error) {
      const message = error instanceof AaaError ? error.message : unreadable(this.#file.path, error as NodeJS.ErrnoException);
      if (message !== this.#problem) this.#events.onProblem(message);
      this.#problem = message;
      return this.#loaded ?? this.#inline;
    }
  }

  #together(fromFile: readonly UserEntry[], where: string): readonly UserEntry[] {
    return this.#inline.length === 0 ? fromFile : checkUsers([...this.#inline, ...fromFile], where);
  }
}

function unreadable(path: string, { code, message }: NodeJS.ErrnoException): string {
  return code === 'ENOENT'
    ? `there is no file ${path}; \`muster aaa user add\` makes it with its first user`
    : `${path} can not be read: ${message}`;
}

/** Those who can not log in because of what stands for their password. */
export function withoutHash(users: readonly UserEntry[]): string[] {
  return users.filter(({ password }) => password && !isPasswordHash(password)).map(({ username }) => username);
}
