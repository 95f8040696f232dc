// Logins over HTTP, where they are configured.

import type { Host } from '../../core/sdk/typescript/index.ts';
import { type AaaService, listOf } from '../wire/aaa/settings.ts';
import type { Revocations } from '../wire/tokens/revocations.ts';
import { type LoginParts as AllParts, loginProblems, loginRoutes } from './login/routes.ts';
import type { Route } from './route.ts';

export interface LoginParts {
  readonly host: Host;
  /** The JSON file of the service, of which plugins read their sections. */
  readonly file: string;
  readonly settings: AaaService;
  readonly revocations: Revocations;
  /** Settles when they are known, or could not be in time. */
  readonly known: Promise<void> | undefined;
  /** Name of the connection to the brokers, where there is one. */
  readonly connection: string | undefined;
}

export async function openLogins(parts: LoginParts): Promise<readonly Route[]> {
  return loginRoutes(partsOf(parts));
}

/** Everything that is wrong with the settings of logins, none if all is well. */
export async function problemsOfLogins(parts: LoginParts): Promise<readonly string[]> {
  return listOf(parts.settings.authenticator).length === 0 ? [] : loginProblems(partsOf(parts));
}

function partsOf({ host, file, settings, revocations, known, connection }: LoginParts): AllParts {
  return {
    host,
    file,
    authenticators: listOf(settings.authenticator),
    site: settings.site ?? 'default',
    maxSession: settings.max_session,
    connection,
    replicas: host.config['plugin.muster.aaa.replicas'] as number,
    revoked: async (claims) => {
      await known;
      const reason = revocations.revoked(claims);
      return reason === undefined ? undefined : `the token is revoked${reason === '' ? '' : `: ${reason}`}`;
    },
  };
}
