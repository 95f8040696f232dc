// Tokens for whoever logged in: what the authenticator says of him, signed with the key of that authenticator.

import { makeClientToken } from '../../wire/tokens/client.ts';
import type { User } from './authenticators.ts';
import { jwksOf, SigningKeys } from './keys.ts';
import type { Policies } from './policies.ts';
import type { Settings } from './settings.ts';

const issuerNames: Readonly<Record<string, string>> = { userlist: 'Choria Userlist Authenticator' };

export interface TokenFor {
  readonly authenticator: string;
  readonly user: User;
  /** Hex. */
  readonly publicKey: string;
  /** When he showed who he is, in seconds since 1970. */
  readonly authTime: number;
  readonly nowMs: number;
}

export class Issuers {
  readonly #settings: Settings;
  readonly #policies: Policies;
  readonly #keys: ReadonlyMap<string, SigningKeys>;
  /** Of all authenticators: what instances of the service tell each other is signed with the first of them. */
  readonly shared: SigningKeys;

  constructor(settings: Settings, policies: Policies) {
    this.#settings = settings;
    this.#policies = policies;
    this.#keys = new Map([...settings.issuing].map(([name, { keys, token }]) => [name, new SigningKeys(keys, token)]));
    this.shared = new SigningKeys([...new Set([...settings.issuing.values()].flatMap(({ keys }) => keys))], undefined);
  }

  /** What keeps tokens from being made. */
  async problems(): Promise<string[]> {
    const tried = await Promise.all(
      [...this.#keys].map(async ([name, keys]) => {
        try {
          await keys.issuer();
          return [];
        } catch (error) {
          return [`tokens of the authenticator ${name} can not be signed: ${(error as Error).message}`];
        }
      }),
    );
    return tried.flat();
  }

  /** @throws TokenError */
  async issue({ authenticator, user, publicKey, authTime, nowMs }: TokenFor): Promise<string> {
    const keys = this.keysOf(authenticator);
    const { validitySeconds = 0 } = this.#settings.issuing.get(authenticator) ?? {};
    const untilEnd = authTime + this.#settings.maxSessionSeconds - Math.floor(nowMs / 1_000);
    const { callerid, properties, validitySeconds: own, secondFactor: _, ...rest } = user;
    const request = {
      ...rest,
      callerid,
      ...(properties && { userProperties: properties }),
      publicKey: publicKey.toLowerCase(),
      authTime,
      validitySeconds: Math.min(own ?? validitySeconds, validitySeconds, untilEnd),
      issuerName: issuerNames[authenticator] ?? `Muster authenticator ${authenticator}`,
      now: new Date(nowMs),
    };
    const token = await makeClientToken(request, await keys.issuer());
    if (user.opaPolicy) await this.#policies.prepare(user.opaPolicy, callerid);
    return token;
  }

  keysOf(authenticator: string): SigningKeys {
    return this.#keys.get(authenticator) ?? new SigningKeys([], undefined);
  }

  jwks(): Promise<{ keys: object[] }> {
    return jwksOf([...this.#keys.values()].flatMap((keys) => keys.publicKeys()));
  }
}
