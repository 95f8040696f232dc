// What a user is told who was refused.

import { PluginError, printable } from '../../../core/sdk/typescript/index.ts';

/** @param reason what Muster's service tells besides, which Choria's does not */
export function refusedError(error: string, reason: unknown): PluginError {
  const why =
    typeof reason === 'string' && reason !== ''
      ? reason
      : 'it does not say why; where your login is no longer good, log in again';
  const message = `the signer refused the request (${error}): ${why}`;
  return new PluginError({ code: 'REFUSED', number: -32010 }, printable(message));
}
