// Single sign-on: an ID token from the provider that the service names, by a code on another machine or in a browser here.

import type { KeyObject } from 'node:crypto';
import { rootCertificates } from 'node:tls';
import type { Configuration, CustomFetch } from 'openid-client';
import { type Host, printable } from '../../../core/sdk/typescript/index.ts';
import { fetchSafely, isSafe } from '../../wire/aaa/fetch.ts';
import { LoginError } from './errors.ts';
import { codeFlow } from './oidc-code.ts';
import type { Method, Service } from './request.ts';

export interface OidcOptions {
  readonly device?: boolean | undefined;
  /** Whether a browser is opened. */
  readonly browser: boolean;
}

export interface Sso {
  readonly host: Host;
  readonly configuration: Configuration;
  readonly scope: string;
  readonly key: KeyObject;
  readonly signal: AbortSignal;
}

/** What the provider gave, as far as it is used. */
export interface Told {
  readonly id_token?: string;
  readonly access_token: string;
}

interface Details {
  readonly issuer: string;
  readonly clientId: string;
  readonly scopes: readonly string[];
  readonly flows: readonly string[];
  readonly userinfo: boolean;
  /** Of this machine, where the provider sends the browser back to; 0 for any. */
  readonly port: number;
}

/** Of a person at two machines. */
const patienceMs = 600_000;

/** @returns what the service takes as the credential. @throws LoginError */
export async function signOn(
  host: Host,
  method: Method,
  key: KeyObject,
  service: Service,
  options: OidcOptions,
): Promise<string> {
  const { issuer, clientId, scopes, flows, userinfo, port } = detailsOf(method);
  const signal = AbortSignal.any([AbortSignal.timeout(patienceMs), ...(service.signal ? [service.signal] : [])]);
  const { allowInsecureRequests, customFetch, discovery, None } = await import('openid-client');
  try {
    const url = new URL(issuer);
    if (!isSafe(url)) throw new LoginError('LOGIN_ANSWER', `the provider ${printable(issuer)} has no TLS`);
    const configuration = await discovery(url, clientId, {}, None(), {
      [customFetch]: providerFetch(service.tls.ca, signal),
      // Only what stays on this machine: `fetchSafely` refuses the rest.
      ...(url.protocol === 'http:' && { execute: [allowInsecureRequests] }),
    });
    const sso = { host, configuration, scope: scopes.join(' '), key, signal };
    const isDevice = options.device ?? (!flows.includes('code') || (flows.includes('device') && options.browser && !hasScreen()));
    const told = isDevice ? await deviceFlow(sso) : await codeFlow(sso, { opensBrowser: options.browser, port });
    if (told.id_token === undefined) throw new LoginError('LOGIN_ANSWER', 'the provider gave no ID token');
    return userinfo ? JSON.stringify({ id_token: told.id_token, access_token: told.access_token }) : told.id_token;
  } catch (error) {
    throw readable(error, signal);
  }
}

async function deviceFlow({ host, configuration, scope, signal }: Sso): Promise<Told> {
  const { initiateDeviceAuthorization, pollDeviceAuthorizationGrant } = await import('openid-client');
  const told = await initiateDeviceAuthorization(configuration, { scope });
  const { user_code: code, verification_uri: address, verification_uri_complete: whole } = told;
  const lines = [
    `Open ${printable(address)} on any machine and enter the code ${printable(code)}`,
    ...(whole === undefined ? [] : [`or open ${printable(whole)}`]),
    'Confirm it only if you are logging in here, now.',
  ];
  await host.terminal.write(`${lines.join('\n')}\n`, 'stderr');
  return pollDeviceAuthorizationGrant(configuration, told, undefined, { signal });
}

function providerFetch(ca: string | undefined, signal: AbortSignal): CustomFetch {
  // The provider may have a certificate of the same authority as the service, or a public one.
  return (target, init) => fetchSafely(target, { ...init, signal: init.signal ?? signal }, { ca: together(ca) });
}

function together(ca: string | undefined): readonly string[] | undefined {
  return ca === undefined ? undefined : [...rootCertificates, ca];
}

function detailsOf({ name, details }: Method): Details {
  const { issuer, client_id: clientId, scopes = ['openid'], flows = [], userinfo = false, redirect_port: port = 0 } = details;
  if (typeof issuer !== 'string' || !URL.canParse(issuer) || typeof clientId !== 'string' || !isTexts(scopes) || !isTexts(flows))
    throw new LoginError('LOGIN_ANSWER', `the login service does not say how to use its method ${printable(name)}`);
  return { issuer, clientId, scopes, flows, userinfo: userinfo === true, port: typeof port === 'number' ? port : 0 };
}

function isTexts(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

/** Whether a browser could be opened here. */
function hasScreen(): boolean {
  return process.platform === 'darwin' || Boolean(process.env.DISPLAY || process.env.WAYLAND_DISPLAY || process.env.BROWSER);
}

function readable(error: unknown, signal: AbortSignal): unknown {
  if (error instanceof LoginError) return error;
  if (signal.aborted && (signal.reason as Error).name === 'TimeoutError')
    return new LoginError('LOGIN_REFUSED', `nobody logged in at the provider within ${patienceMs / 60_000} minutes`);
  const {
    error: code,
    error_description: description,
    message,
  } = error as Error & Record<'error' | 'error_description', unknown>;
  const cause = (error as Error).cause as Error | undefined;
  const why = [typeof code === 'string' ? code : message, description ?? cause?.message].filter(
    (part) => typeof part === 'string',
  );
  return new LoginError('LOGIN_REFUSED', `no login at the provider: ${printable(why.join(', ')).slice(0, 300)}`, {
    cause: error,
  });
}
