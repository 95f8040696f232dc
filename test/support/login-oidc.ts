// A certified provider of OpenID Connect on this machine: oidc-provider, with the pages of its development mode.

import type { Server } from 'node:http';
import Provider from 'oidc-provider';
import { freePort } from './folders.ts';

export const clientId = 'muster';

/** Whoever logs in there, with any password. */
export interface Person {
  readonly groups: readonly string[];
  readonly email: string;
}

export interface RunningProvider {
  readonly issuer: string;
  stop(): Promise<void>;
}

/** @param claimsInIdToken whether groups are in the ID token, or told by userinfo only */
export async function startProvider(
  people: Readonly<Record<string, Person>>,
  { claimsInIdToken = true } = {},
): Promise<RunningProvider> {
  const issuer = `http://127.0.0.1:${await freePort()}`;
  const provider = new Provider(issuer, {
    clients: [
      {
        client_id: clientId,
        application_type: 'native',
        token_endpoint_auth_method: 'none',
        grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'],
        response_types: ['code'],
        redirect_uris: ['http://127.0.0.1/callback'],
      },
    ],
    claims: { openid: ['sub'], email: ['email', 'email_verified'], profile: ['groups'] },
    conformIdTokenClaims: !claimsInIdToken,
    cookies: { keys: ['only for tests'] },
    features: { deviceFlow: { enabled: true }, devInteractions: { enabled: true } },
    pkce: { required: () => true },
    findAccount: (_context, id) => ({
      accountId: id,
      claims: async () => ({ sub: id, email_verified: true, ...people[id] }),
    }),
  });
  // It says on standard error what is meant for those who run it in earnest.
  const server = await new Promise<Server>((resolve) => {
    const listening: Server = provider.listen(Number(new URL(issuer).port), '127.0.0.1', () => resolve(listening));
  });
  return {
    issuer,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
