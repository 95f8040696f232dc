// Requests of whoever is logged in: somebody else signs them, and no certificate of the user is needed for it.

import { existsSync } from 'node:fs';
import { isDeepStrictEqual } from 'node:util';
import { type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { WireError } from '../wire/errors.ts';
import { machineIdentity } from '../wire/identity.ts';
import { withHop } from '../wire/message-parts.ts';
import { insecure, type RequestToSign, signerAgent } from '../wire/security-params.ts';
import { readClientToken } from '../wire/tokens/client.ts';
import { readRequest, readSecureRequest, requestText, secureRequestText, transportBytes } from '../wire/v1/messages.ts';
import { type Credentials, locate, readCredentials, type SecurityConfig } from './identity.ts';

const plugin = { kind: 'request-signer', name: 'aaa' } as const;

export interface LoggedIn {
  readonly callerid: string;
  readonly token: string;
  /** File with the seed of the key that the token is for. */
  readonly seed: string;
}

/** Undefined where requests are signed with the certificate of this user. @throws PluginError for a token that has ended */
export async function whoIsLoggedIn(host: Host, config: SecurityConfig): Promise<LoggedIn | undefined> {
  const isElsewhere =
    config['plugin.choria.security.request_signer.service'] === true ||
    (config['plugin.choria.security.request_signer.url'] ?? []).length > 0;
  if (!isElsewhere) return undefined;
  const who = (await host.plugins.call(plugin.kind, plugin.name, 'request-signer/who', {})) as Partial<LoggedIn>;
  const { callerid, token, seed } = who;
  return callerid && token !== undefined && seed !== undefined ? { callerid, token, seed } : undefined;
}

/** The connection still is the certificate's, where there is one; without, the token and its key stand for it. */
export async function identityOfUser(
  config: SecurityConfig,
  environment: NodeJS.ProcessEnv,
  { callerid, token, seed }: LoggedIn,
) {
  const { exp } = await readClientToken(token);
  const ends = exp === undefined ? null : new Date(exp * 1000).toISOString();
  const shared = { callerid, expires: ends, ...(ends !== null && { tokenExpires: ends }) };
  if (config['plugin.security.client_anon_tls'] === true) {
    const ca = config['plugin.security.file.ca'];
    const name = machineIdentity(config.identity);
    // Choria's clients verify nobody in this case; where there is a CA it costs nothing.
    const tls = ca !== undefined && existsSync(ca) ? { ca } : { rejectUnauthorized: false };
    return { ...shared, identity: name, certname: name, tls, token, seed };
  }
  const credentials: Credentials = locate(config, 'client', environment);
  readCredentials(credentials);
  const { identity, certname, cert, key, ca } = credentials;
  return { ...shared, identity, certname, tls: { cert, key, ca } };
}

/** @throws PluginError what the signer refused, or that what it gave is not what was asked for */
export async function signElsewhere(host: Host, requests: readonly RequestToSign[], callerid: string) {
  const texts = requests.map((request) => textFor(request, callerid));
  const toSign = texts.filter((_, at) => requests[at]?.agent !== signerAgent);
  const signed = toSign.length === 0 ? [] : await signTexts(host, toSign);
  let taken = 0;
  return requests.map((request, at) => {
    const text = texts[at] ?? '';
    // The call of the signer itself proves itself by what it holds.
    if (request.agent === signerAgent) return wrapped(request, secureRequestText(text, insecure, insecure));
    const secure = signed[taken] ?? '';
    taken += 1;
    checkSame(text, secure);
    return wrapped(request, secure);
  });
}

export function textFor(request: RequestToSign, caller: string): string {
  const { id, sender, collective, agent, ttl, filter, body, traceparent } = request;
  const time = Math.floor(Date.now() / 1000);
  return requestText({
    id,
    sender,
    caller,
    collective,
    agent,
    ttl,
    time,
    filter,
    body,
    ...(traceparent !== undefined && { traceparent }),
  });
}

export function wrapped({ replyTo, sender, server, federation }: RequestToSign, data: string): { payload: Uint8Array } {
  const headers = { replyTo, sender, seenBy: withHop([], server ?? '', sender), ...(federation && { federation }) };
  return { payload: transportBytes(data, headers) };
}

async function signTexts(host: Host, requests: readonly string[]): Promise<readonly string[]> {
  const { secure } = (await host.plugins.call(plugin.kind, plugin.name, 'request-signer/sign', { requests })) as {
    secure: string[];
  };
  return secure;
}

/** A signer sets the caller and nothing else. Choria's leaves out what it does not know. */
function checkSame(asked: string, secure: string): void {
  try {
    if (isDeepStrictEqual(essence(asked), essence(readSecureRequest(secure).message))) return;
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new PluginError('UNAVAILABLE', `what the signer gave is no secure request: ${error.message}`, { cause: error });
  }
  throw new PluginError('UNAVAILABLE', 'the signer signed another request than the one that it was asked to');
}

function essence(text: string) {
  const { id, sender, collective, agent, ttl, time, filter, body } = readRequest(text);
  const { fact, cf_class, agent: agents = [], identity, compound } = filter;
  return { id, sender, collective, agent, ttl, time, body, fact, cf_class, agents, identity, compound };
}
