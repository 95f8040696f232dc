// Requests that a delegator signs for whoever is logged in: his token goes beside the delegator's.

import { isDeepStrictEqual } from 'node:util';
import { type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { WireError } from '../wire/errors.ts';
import { readRequest, readSecureRequest, secureRequestText } from '../wire/v2/messages.ts';
import type { SecurityConfig } from './identity.ts';

const plugin = { kind: 'request-signer', name: 'aaa' } as const;

export function isSignedElsewhere(config: SecurityConfig): boolean {
  return (
    config['plugin.choria.security.request_signer.service'] === true ||
    (config['plugin.choria.security.request_signer.url'] ?? []).length > 0
  );
}

/**
 * Secure requests for these texts, in order.
 * @param token the caller's own, which the signer does not have to send
 * @throws PluginError what the signer refused, or that what it gave is not what was asked for
 */
export async function signElsewhere(host: Host, texts: readonly string[], token: string): Promise<string[]> {
  if (texts.length === 0) return [];
  const { secure } = (await host.plugins.call(plugin.kind, plugin.name, 'request-signer/sign', { requests: texts })) as {
    secure: string[];
  };
  return texts.map((text, at) => withOwnToken(text, secure[at] ?? '', token));
}

function withOwnToken(text: string, secure: string, token: string): string {
  try {
    const { request, signature, signer } = readSecureRequest(secure);
    if (signer === undefined) throw new PluginError('UNAVAILABLE', 'the signer did not show the token that it signs with');
    if (!isDeepStrictEqual(essence(text), essence(request.toString('utf8'))))
      throw new PluginError('UNAVAILABLE', 'the signer signed another request than the one that it was asked to');
    return secureRequestText({ request, signature, signer, caller: token });
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new PluginError('UNAVAILABLE', `what the signer gave is no secure request: ${error.message}`, { cause: error });
  }
}

/** All but the caller, which the signer sets, and what Choria's signer leaves out. */
function essence(text: string) {
  const { id, sender, collective, agent, ttl, time, filter, body } = readRequest(text);
  const { fact, cf_class, agent: agents = [], identity, compound } = filter;
  // Nanoseconds are more than a number holds.
  const seconds = Math.floor(time);
  return { id, sender, collective, agent, ttl, seconds, body, fact, cf_class, agents, identity, compound };
}
