// Asking for a token: a new key, and a credential signed with it.

import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { printable } from '../../../core/sdk/typescript/index.ts';
import { type ClientClaims, readClientToken } from '../../wire/tokens/client.ts';
import { publicHex, seedHex, signHex } from '../../wire/tokens/ed25519.ts';
import { musterUrls } from './config.ts';
import { LoginError } from './errors.ts';
import { askFirst, type HttpAnswer, type Tls } from './http.ts';

export interface Service {
  /** Of logins with a password. */
  readonly urls: readonly URL[];
  readonly tls: Tls;
  readonly signal?: AbortSignal | undefined;
}

export interface Method {
  readonly name: string;
  readonly credential: string;
  readonly details: Readonly<Record<string, unknown>>;
}

export interface Methods {
  readonly methods: readonly Method[];
  /** Whether anybody has a second factor. */
  readonly secondFactor: boolean;
}

export interface Granted {
  readonly token: string;
  readonly seed: string;
  readonly claims: ClientClaims;
}

export function newKey(): KeyObject {
  return generateKeyPairSync('ed25519').privateKey;
}

/** What a service offers; undefined for Choria's, which knows passwords only. @throws LoginError `LOGIN_UNREACHABLE` */
export async function methodsOf({ urls, tls, signal }: Service): Promise<Methods | undefined> {
  const own = musterUrls(urls, '/muster/v1/login/methods');
  if (own.length === 0) return undefined;
  const { status, body } = await askFirst(own, { method: 'GET', signal }, tls);
  const { methods, second_factor: secondFactor } = (body ?? {}) as { methods?: unknown; second_factor?: unknown };
  if (status !== 200 || !Array.isArray(methods)) return undefined;
  return { methods: methods.flatMap(methodOf), secondFactor: secondFactor === true };
}

/** As Choria's clients do. @throws LoginError */
export async function logInWithPassword(service: Service, username: string, password: string): Promise<Granted> {
  const key = newKey();
  const timestamp = now();
  const body = {
    username,
    password,
    timestamp,
    public_key: publicHex(key),
    signature: signHex(`${timestamp}:${username}:${password}`, key),
  };
  return granted(await askFirst(service.urls, { method: 'POST', body, signal: service.signal }, service.tls), key);
}

export interface Credential {
  readonly method: string;
  readonly username?: string | undefined;
  readonly credential: string;
  readonly code?: string | undefined;
  /** Made before, where the credential is bound to it. */
  readonly key: KeyObject;
  /** Where the credential speaks of it; default now. */
  readonly timestamp?: string;
}

/** @throws LoginError */
export async function logInBy(
  service: Service,
  { method, username = '', credential, code, key, timestamp = now() }: Credential,
): Promise<Granted> {
  const body = {
    method,
    username,
    credential,
    ...(code !== undefined && { code }),
    timestamp,
    public_key: publicHex(key),
    signature: signHex(`${timestamp}:${method}:${username}:${credential}`, key),
  };
  const urls = musterUrls(service.urls, '/muster/v1/login');
  if (urls.length === 0)
    throw new LoginError(
      'LOGIN_CONFIG',
      `the method ${method} needs a URL that ends in /choria/v1/login in plugin.login.aaasvc.login.url`,
    );
  return granted(await askFirst(urls, { method: 'POST', body, signal: service.signal }, service.tls), key);
}

/** A new token for the same key. @throws LoginError */
export async function refreshToken(service: Service, token: string, key: KeyObject): Promise<Granted> {
  const timestamp = now();
  const body = { token, timestamp, signature: signHex(`${timestamp}:refresh:${token}`, key) };
  const urls = musterUrls(service.urls, '/muster/v1/refresh');
  if (urls.length === 0) throw new LoginError('LOGIN_CONFIG', 'this login service has no refresh');
  return granted(await askFirst(urls, { method: 'POST', body, signal: service.signal }, service.tls), key);
}

/** What is no token for our key is not kept, whoever sent it. */
async function granted({ status, body }: HttpAnswer, key: KeyObject): Promise<Granted> {
  const { token, error } = (body ?? {}) as { token?: unknown; error?: unknown };
  if (status !== 200) throw new LoginError('LOGIN_ANSWER', `the login service answered with status ${status}`);
  if (typeof error === 'string' && error !== '')
    throw new LoginError('LOGIN_REFUSED', `the login service refused: ${printable(error).slice(0, 200)}`);
  if (typeof token !== 'string' || token === '')
    throw new LoginError('LOGIN_ANSWER', 'the login service answered with neither a token nor an error');
  const claims = await readClaims(token);
  if (claims.public_key !== publicHex(key))
    throw new LoginError('LOGIN_ANSWER', 'the login service answered with a token for another key');
  return { token, seed: seedHex(key), claims };
}

async function readClaims(token: string): Promise<ClientClaims> {
  try {
    return await readClientToken(token);
  } catch (error) {
    throw new LoginError('LOGIN_ANSWER', `the login service answered with no token of a user: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

function methodOf(value: unknown): Method[] {
  const { name, credential, details } = (value ?? {}) as { name?: unknown; credential?: unknown; details?: unknown };
  if (typeof name !== 'string' || typeof credential !== 'string') return [];
  const told = typeof details === 'object' && details !== null ? (details as Record<string, unknown>) : {};
  return [{ name, credential, details: told }];
}

function now(): string {
  return String(Math.floor(Date.now() / 1_000));
}
