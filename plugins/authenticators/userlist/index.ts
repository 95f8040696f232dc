// Authenticator `userlist`: names and hashes of passwords in a file, as Choria's AAA service has them.

import { createHmac, randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type UserListSettings, validate } from '#schemas/muster/aaa/v1/userlist';
import { definePlugin, type Host } from '../../../core/sdk/typescript/index.ts';
import { AaaError } from '../../wire/aaa/errors.ts';
import { goDurationSeconds } from '../../wire/aaa/go-duration.ts';
import { isPasswordHash, passwordFits } from '../../wire/aaa/passwords.ts';
import { readSection } from '../../wire/aaa/settings.ts';
import type { UserEntry } from '../../wire/aaa/users.ts';
import { preparePolicies } from '../policies.ts';
import { type LoggedIn, loggedIn, type Outcome, refused } from '../user.ts';
import { UserList, withoutHash } from './list.ts';

const section = 'userlist_authenticator';
const prefix = 'up=';
const lookEveryMs = 5_000;
/** Of a password that nobody knows, for lists without any. */
const nobodysHash = '$2b$10$Wu43b9CMoXu6l/Nk8CVz9eYYU2RwxIpt7ROiI0TWaCXo6mZiPmd8e';

export default definePlugin({
  kind: 'authenticator',
  version: '1.0.0',
  create: (host) => {
    const users = new Users(host);
    return {
      methods: {
        'authenticator/check': () => ({ problems: users.problems() }),
        'authenticator/describe': () => ({ credential: 'password', details: { prefix: 'up' } }),
        'authenticator/login': ({ username, credential }: { username: string; credential: string }) =>
          users.login(username, credential),
        'authenticator/refresh': ({ callerid }: { callerid: string }) => users.refresh(callerid),
      },
      activate: () => users.start(),
    };
  },
});

class Users {
  readonly #host: Host;
  readonly #secret = randomBytes(32);
  #list: UserList | undefined;

  constructor(host: Host) {
    this.#host = host;
  }

  async start(): Promise<void> {
    await this.#host.timers.set({ id: 'users', everyMs: lookEveryMs }, () => void this.#quietly());
  }

  problems(): string[] {
    try {
      const list = this.#open();
      list.users();
      return list.problem === undefined ? [] : [list.problem];
    } catch (error) {
      return [(error as Error).message];
    }
  }

  async login(username: string, password: string): Promise<Outcome> {
    const list = this.#open();
    const user = list.users().get(username);
    const hash = user?.password && isPasswordHash(user.password) ? user.password : undefined;
    // Somebody unknown takes as long as one of those who are known, and always the same one.
    const fits = await passwordFits(password, hash ?? this.#standIn(username, list.hashes));
    if (!user) return refused('there is no such user');
    if (hash === undefined) return refused(`${user.username} has no password`);
    return fits ? this.#granted(user) : refused(`the password of ${user.username} is wrong`);
  }

  refresh(callerid: string): Outcome {
    const user = this.#open().users().get(callerid.slice(prefix.length));
    if (!callerid.startsWith(prefix) || !user) return refused('the user is not there any more');
    return this.#granted(user);
  }

  #granted(user: UserEntry): Outcome {
    const { opa_policy: policy, opa_policy_file: file } = user;
    try {
      return loggedIn(grantOf(user, policy || (file ? readFileSync(file, 'utf8') : undefined)));
    } catch (error) {
      return refused(`the policy of the user can not be read: ${(error as Error).message}`);
    }
  }

  #standIn(username: string, hashes: readonly string[]): string {
    const number = createHmac('sha256', this.#secret).update(username).digest().readUInt32BE();
    return hashes[number % Math.max(1, hashes.length)] ?? nobodysHash;
  }

  /** @throws AaaError */
  #open(): UserList {
    if (this.#list) return this.#list;
    const file = this.#host.config['plugin.aaa.config'];
    if (typeof file !== 'string') throw new AaaError('AAA_SETTINGS', 'plugin.aaa.config is not set');
    const { users, users_file: usersFile } = settingsOf(file);
    this.#list = new UserList({ users: users ?? [], file: usersFile || undefined }, `${file}: ${section}.users`, {
      onLoaded: (list) => this.#loaded(list),
      onProblem: (message) => this.#host.log.error(`the list of users is not read, those known before stay: ${message}`),
    });
    return this.#list;
  }

  #loaded(users: readonly UserEntry[]): void {
    this.#host.log.info(`${users.length} users may log in`);
    const without = withoutHash(users);
    if (without.length > 0)
      this.#host.log.warn(
        `these users can not log in, since their password is no hash by bcrypt or argon2id: ${without.slice(0, 20).join(', ')}`,
      );
    void preparePolicies(this.#host, users);
  }

  #quietly(): void {
    try {
      this.#open().users();
    } catch (error) {
      this.#host.log.debug((error as Error).message);
    }
  }
}

function grantOf(user: UserEntry, opaPolicy: string | undefined): LoggedIn {
  const { username, organization, tenant, acls, properties, broker_permissions: permissions, validity, totp } = user;
  const seconds = validity ? goDurationSeconds(validity) : undefined;
  return {
    callerid: `${prefix}${username}`,
    ...(organization && { ou: organization }),
    ...(tenant && { tenant }),
    ...(acls && { agents: acls }),
    ...(opaPolicy && { opaPolicy }),
    ...(properties && { properties }),
    ...(permissions && { permissions }),
    ...(seconds && { validitySeconds: Math.max(1, Math.floor(seconds)) }),
    ...(totp && { secondFactor: true }),
  };
}

function settingsOf(file: string): UserListSettings {
  const settings = readSection(file, section) ?? {};
  if (validate(settings)) return settings;
  const [error] = validate.errors ?? [];
  throw new AaaError('AAA_SETTINGS', `${file}: ${section}${error?.instancePath.replaceAll('/', '.')} ${error?.message}`);
}
