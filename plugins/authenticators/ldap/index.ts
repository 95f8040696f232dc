// Authenticator `ldap`: names and passwords of a directory.

import { randomUUID } from 'node:crypto';
import type { Entry } from 'ldapts';
import { definePlugin, type Host, printable } from '../../../core/sdk/typescript/index.ts';
import { granted } from '../grants.ts';
import { Remembered } from '../remembered.ts';
import { type LoggedIn, loggedIn, type Outcome, refused } from '../user.ts';
import { Directory, DirectoryError, valuesOf } from './directory.ts';
import { filledDn, filledFilter } from './escape.ts';
import { type Ldap, readLdap } from './settings.ts';

const longestName = 256;
const rememberedMs = 7 * 86_400_000;
const prefix = 'ldap=';

interface LoginParams {
  readonly username: string;
  readonly credential: string;
}

export default definePlugin({
  kind: 'authenticator',
  version: '1.0.0',
  create: (host) => {
    const ldap = new LdapUsers(host);
    return {
      methods: {
        'authenticator/check': () => ({ problems: ldap.problems() }),
        'authenticator/describe': () => ({ credential: 'password', details: { prefix: 'ldap' } }),
        'authenticator/login': (params: LoginParams) => ldap.login(params),
        'authenticator/refresh': ({ callerid }: { callerid: string }) => ldap.refresh(callerid),
      },
    };
  },
});

class LdapUsers {
  readonly #host: Host;
  /** Where nobody may search but the users themselves. */
  readonly #users = new Remembered<LoggedIn>();
  #settings: Ldap | undefined;

  constructor(host: Host) {
    this.#host = host;
  }

  problems(): string[] {
    try {
      this.#open();
      return [];
    } catch (error) {
      return [(error as Error).message];
    }
  }

  async login({ username, credential }: LoginParams): Promise<Outcome> {
    const settings = this.#open();
    if (username === '' || username.length > longestName || printable(username) !== username) return refused('the name is none');
    if (credential === '') return refused('the password is empty');
    return this.#with(settings, async (directory) => {
      const entry = settings.userDn === undefined ? await this.#find(settings, directory, username) : undefined;
      // Somebody unknown takes the same way.
      const nobody = `cn=${randomUUID()}${settings.userBase === '' ? '' : `,${settings.userBase}`}`;
      const dn = settings.userDn === undefined ? (entry?.dn ?? nobody) : filledDn(settings.userDn, { username });
      const fits = await directory.isPasswordOf(dn, credential);
      if (settings.userDn === undefined && !entry) return refused('there is no such user, or several');
      if (!fits) return refused(entry ? `the password of ${printable(entry.dn)} is wrong` : 'the name or the password is wrong');
      const own = entry ?? (await this.#entryAt(settings, directory, dn));
      if (!own) return refused('the user may not read his own entry, and bind_dn is not set');
      return this.#granted(settings, directory, own);
    });
  }

  async refresh(callerid: string): Promise<Outcome> {
    const settings = this.#open();
    const name = callerid.slice(prefix.length);
    if (!settings.searcher || settings.userDn !== undefined) {
      const user = this.#users.get(callerid, Date.now());
      return user ? loggedIn(user) : refused('the login is not remembered here; log in again');
    }
    return this.#with(settings, async (directory) => {
      const entry = await this.#find(settings, directory, name);
      return entry ? this.#granted(settings, directory, entry) : refused('the user is not in the directory any more');
    });
  }

  async #with(settings: Ldap, work: (directory: Directory) => Promise<Outcome>): Promise<Outcome> {
    let directory: Directory | undefined;
    try {
      directory = await Directory.connect(settings.directory, (client) => bindSearcher(settings, client));
      return await work(directory);
    } catch (error) {
      if (!(error instanceof DirectoryError)) throw error;
      this.#host.log.error(printable(error.message));
      return refused('the directory failed');
    } finally {
      await directory?.close();
    }
  }

  async #find({ userBase, userFilter, ...settings }: Ldap, directory: Directory, username: string): Promise<Entry | undefined> {
    const filter = filledFilter(userFilter, { username });
    const found = await directory.search(userBase, { filter, scope: 'sub', attributes: attributesOf(settings) });
    return found.length === 1 ? found[0] : undefined;
  }

  async #entryAt(settings: Ldap, directory: Directory, dn: string): Promise<Entry | undefined> {
    const [entry] = await directory.search(dn, { filter: '(objectClass=*)', scope: 'base', attributes: attributesOf(settings) });
    return entry;
  }

  async #granted(settings: Ldap, directory: Directory, entry: Entry): Promise<Outcome> {
    const names = valuesOf(entry, settings.nameAttribute);
    const [name = ''] = names;
    if (name === '' || name.length > longestName || names.length > 1 || printable(name) !== name)
      return refused(`the attribute ${settings.nameAttribute} of the user is not one name`);
    const groups = await this.#groupsOf(settings, directory, entry, name);
    const grant = granted(settings.grants, groups);
    if (!grant) return refused(`no group of the user gets anything here; the directory says ${groups.length} groups`);
    const user = { ...grant, callerid: `${prefix}${name}` };
    const now = Date.now();
    this.#users.keep(user.callerid, user, now + rememberedMs, now);
    return loggedIn(user);
  }

  async #groupsOf(settings: Ldap, directory: Directory, entry: Entry, username: string): Promise<string[]> {
    const own = settings.memberOf === undefined ? [] : valuesOf(entry, settings.memberOf);
    if (settings.groupBase === undefined) return own;
    // Who searches reads more than a user does.
    await bindSearcher(settings, directory).catch((error: Error) => {
      throw new DirectoryError(`bind_dn: ${error.message}`, { cause: error });
    });
    const filter = filledFilter(settings.groupFilter, { dn: entry.dn, username });
    const found = await directory.search(settings.groupBase, { filter, scope: 'sub', attributes: [settings.groupName] });
    return [...own, ...found.flatMap((group) => valuesOf(group, settings.groupName))];
  }

  /** @throws AaaError */
  #open(): Ldap {
    this.#settings ??= readLdap(this.#host.config['plugin.aaa.config']);
    return this.#settings;
  }
}

async function bindSearcher({ searcher }: Pick<Ldap, 'searcher'>, directory: Directory): Promise<void> {
  if (searcher) await directory.bind(searcher.dn, searcher.password);
}

function attributesOf({ nameAttribute, memberOf }: Pick<Ldap, 'nameAttribute' | 'memberOf'>): string[] {
  return [nameAttribute, ...(memberOf === undefined ? [] : [memberOf])];
}
