// The calls of the HTTP interface for logins: Choria's, and those of Muster.

import { validate as isLogin, type LoginRequest } from '#schemas/choria/aaa/v1/login';
import { validate as isMethodLogin, type MethodLogin } from '#schemas/muster/aaa/v1/login';
import { validate as isRefresh, type RefreshRequest } from '#schemas/muster/aaa/v1/refresh';
import type { Host } from '../../../core/sdk/typescript/index.ts';
import { type ClientClaims, readClientToken } from '../../wire/tokens/client.ts';
import type { Answer, Call, Route } from '../route.ts';
import { notConfigured } from './answers.ts';
import { Authenticators } from './authenticators.ts';
import { BucketOwners, Callers, FileOwners } from './callers.ts';
import { Issuers } from './issue.ts';
import { Logins } from './logins.ts';
import { Once } from './once.ts';
import { Policies } from './policies.ts';
import { Refresh } from './refresh.ts';
import { SecondFactor } from './second-factor.ts';
import { findLoginSettings, readLoginSettings, type Settings } from './settings.ts';
import { BucketCodes, FileCodes } from './used-codes.ts';

export interface LoginParts {
  /** With `plugins: [authenticator, policy-compiler]`, `kv: [MUSTER_TOTP, MUSTER_LOGIN_ONCE, MUSTER_LOGIN_FAILURES]`, `timers`, `metrics` and `state`. */
  readonly host: Host;
  /** The JSON file of the service. */
  readonly file: string;
  /** Names, in their order. */
  readonly authenticators: readonly string[];
  readonly site: string;
  /** How long a login may be refreshed; a Go duration. */
  readonly maxSession?: string | undefined;
  /** The connection to the brokers, where there is one: instances share there which codes were used. */
  readonly connection?: string | undefined;
  /** Brokers that keep a copy of what instances share there. */
  readonly replicas?: number;
  readonly isAllowed?: (address: string) => boolean;
  /** Why a token does not count any more, if it does not. */
  readonly revoked?: (claims: ClientClaims) => string | undefined | Promise<string | undefined>;
  readonly now?: () => number;
}

/** Everything that is wrong with the settings of logins. */
export async function loginProblems(parts: LoginParts): Promise<string[]> {
  try {
    const { settings, problems } = findLoginSettings(parts.file, parts.authenticators, parts.maxSession);
    const { issuers, secondFactor } = toolsOf(parts, settings);
    return [...problems, ...(await issuers.problems()), ...secondFactor.problems()];
  } catch (error) {
    return [(error as Error).message];
  }
}

/** @throws AaaError `AAA_SETTINGS` */
export function loginRoutes(parts: LoginParts): Route[] {
  if (parts.authenticators.length === 0)
    return [{ method: 'POST', path: '/choria/v1/login', handle: async () => notConfigured() }];
  const tools = toolsOf(parts, readLoginSettings(parts.file, parts.authenticators, parts.maxSession));
  const { authenticators, issuers, secondFactor } = tools;
  const logins = new Logins(tools);
  if (secondFactor.isUsed && !secondFactor.isThere)
    parts.host.log.warn(
      'login.second_factor.file is not there, so that nobody has a second factor; `muster aaa user totp` makes it',
    );
  const refresh = new Refresh(tools, parts.revoked ?? (() => undefined), readClientToken);
  return [
    {
      method: 'POST',
      path: '/choria/v1/login',
      accepts: (body) => isLogin(asSpelled(body)),
      handle: async (call) => logins.logIn(passwordAttempt(call, await authenticators.forPasswords())),
    },
    {
      method: 'POST',
      path: '/muster/v1/login',
      accepts: (body) => isMethodLogin(body),
      handle: async (call) => logins.logIn(methodAttempt(call, authenticators, await authenticators.forPasswords())),
    },
    {
      method: 'POST',
      path: '/muster/v1/refresh',
      accepts: (body) => isRefresh(body),
      handle: ({ body, address, signal }) => logins.refresh(() => refresh.check(body as RefreshRequest, signal), address),
    },
    { method: 'GET', path: '/muster/v1/login/methods', handle: () => methods(authenticators, secondFactor) },
    { method: 'GET', path: '/.well-known/jwks.json', handle: async () => ({ status: 200, body: await issuers.jwks() }) },
  ];
}

function toolsOf(
  { host, authenticators, site, connection, replicas = 1, isAllowed = () => true, now = Date.now }: LoginParts,
  settings: Settings,
) {
  const onProblem = (message: string) => host.log.error(message);
  const onTrouble = (message: string) => host.log.warn(message);
  const folder = host.stateFolder ?? '.';
  const used = connection === undefined ? new FileCodes(folder) : new BucketCodes(host, connection, replicas);
  const owners = connection === undefined ? new FileOwners(folder) : new BucketOwners(host, connection, replicas);
  return {
    host,
    site,
    settings,
    connection,
    replicas,
    isAllowed,
    now,
    authenticators: new Authenticators(host, authenticators),
    issuers: new Issuers(settings, new Policies(host)),
    secondFactor: new SecondFactor(settings.secondFactor, used, onProblem),
    callers: new Callers(owners, onTrouble),
    once: new Once(host, connection, replicas, onTrouble),
  };
}

/** Choria's service does not look at the case of keys; where one stands there as it is meant, it counts. */
function asSpelled(body: unknown): unknown {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return body;
  const folded = Object.entries(body).map(([key, value]) => [key.toLowerCase(), value] as const);
  return { ...Object.fromEntries(folded), ...body };
}

function passwordAttempt({ body, address, signal }: Call, methods: readonly string[]) {
  const { username, password, timestamp, public_key: publicKey, signature } = asSpelled(body) as LoginRequest;
  const [name, typed] = [username ?? '', password ?? ''];
  return {
    methods,
    username: name,
    credential: typed,
    code: undefined,
    takesCodeFromCredential: true,
    proof: { timestamp: timestamp ?? '', publicKey: publicKey ?? '', signature: signature ?? '', text: `${name}:${typed}` },
    address,
    signal,
  };
}

function methodAttempt({ body, address, signal }: Call, { names }: Authenticators, withPassword: readonly string[]) {
  const { method, username, credential, code, timestamp, public_key: publicKey, signature } = body as MethodLogin;
  const name = username ?? '';
  return {
    methods: names.includes(method) ? [method] : [],
    username: name,
    credential,
    code: code ?? undefined,
    takesCodeFromCredential: withPassword.includes(method),
    proof: { timestamp, publicKey, signature, text: `${method}:${name}:${credential}` },
    address,
    signal,
  };
}

async function methods(authenticators: Authenticators, secondFactor: SecondFactor): Promise<Answer> {
  const told = await Promise.all(
    authenticators.names.map(async (name) => {
      // One that fails is none that can be used now.
      const about = await authenticators.describe(name).catch(() => undefined);
      return about ? [{ name, credential: about.credential, details: about.details ?? {} }] : [];
    }),
  );
  return { status: 200, body: { methods: told.flat(), second_factor: secondFactor.isUsed } };
}
