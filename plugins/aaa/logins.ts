// Logins over HTTP, where they are configured.

import type { Host } from '../../core/sdk/typescript/index.ts';
import { type AaaService, listOf } from '../wire/aaa/settings.ts';
import type { Revocations } from '../wire/tokens/revocations.ts';
import type { Route } from './route.ts';

export interface LoginParts {
  readonly host: Host;
  /** The JSON file of the service, of which plugins read their sections. */
  readonly file: string;
  readonly settings: AaaService;
  readonly revocations: Revocations;
}

export async function openLogins({ settings }: LoginParts): Promise<readonly Route[]> {
  if (listOf(settings.authenticator).length > 0) return [];
  const answer = { status: 501, body: 'No authenticator configured' };
  return [{ method: 'POST', path: '/choria/v1/login', handle: async () => answer }];
}
