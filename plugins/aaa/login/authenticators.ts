// The authenticators that the settings name, asked in their order.

import type { Host, HostCallOptions } from '../../../core/sdk/typescript/index.ts';

export interface User {
  readonly callerid: string;
  readonly ou?: string;
  readonly tenant?: string;
  readonly agents?: readonly string[];
  readonly opaPolicy?: string;
  readonly properties?: Readonly<Record<string, string>>;
  readonly permissions?: Readonly<Record<string, boolean>>;
  readonly pubSubjects?: readonly string[];
  readonly subSubjects?: readonly string[];
  readonly validitySeconds?: number;
  readonly secondFactor?: boolean;
}

export interface Description {
  readonly credential: 'password' | 'oidc' | 'certificate';
  readonly details?: Readonly<Record<string, unknown>>;
}

export interface Credential {
  readonly username: string;
  readonly credential: string;
  readonly publicKey: string;
  readonly address: string;
  readonly timestamp: number;
}

type Outcome = { readonly ok: true; readonly user: User } | { readonly ok: false; readonly reason: string };

export class Authenticators {
  readonly names: readonly string[];
  readonly #host: Host;
  readonly #described = new Map<string, Description>();

  constructor(host: Host, names: readonly string[]) {
    this.#host = host;
    this.names = names;
  }

  /** @throws PluginError */
  async describe(name: string): Promise<Description> {
    const known = this.#described.get(name);
    if (known) return known;
    const told = (await this.#host.plugins.call('authenticator', name, 'authenticator/describe', {})) as Description;
    this.#described.set(name, told);
    return told;
  }

  /** Those that take a password. */
  async forPasswords(): Promise<readonly string[]> {
    const descriptions = await Promise.all(
      this.names.map(async (name) => {
        try {
          return (await this.describe(name)).credential;
        } catch (error) {
          this.#host.log.warn(`the authenticator ${name} can not be asked: ${(error as Error).message}`);
          return undefined;
        }
      }),
    );
    return this.names.filter((_, index) => descriptions[index] === 'password');
  }

  /** What goes wrong is a refusal like any other. */
  login(name: string, credential: Credential, options: HostCallOptions): Promise<Outcome> {
    return this.#ask(name, 'authenticator/login', { ...credential }, options);
  }

  refresh(name: string, callerid: string, options: HostCallOptions): Promise<Outcome> {
    return this.#ask(name, 'authenticator/refresh', { callerid }, options);
  }

  /** Whose users have caller ids like this one. */
  async ofCaller(callerid: string): Promise<string | undefined> {
    const kind = callerid.slice(0, callerid.indexOf('='));
    for (const name of this.names) {
      const { details = {} } = await this.describe(name).catch(() => ({ details: {} as Record<string, unknown> }));
      if ((details.prefix ?? name) === kind) return name;
    }
    return undefined;
  }

  async #ask(name: string, method: string, params: Record<string, unknown>, options: HostCallOptions): Promise<Outcome> {
    try {
      return (await this.#host.plugins.call('authenticator', name, method, params as never, options)) as Outcome;
    } catch (error) {
      return { ok: false, reason: `the authenticator failed: ${(error as Error).message}` };
    }
  }
}
