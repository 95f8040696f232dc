// Authenticator `oidc`: whoever shows an ID token of a provider of OpenID Connect.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type OidcSettings, validate } from '#schemas/muster/aaa/v1/oidc';
import { definePlugin, type Host, printable } from '../../../core/sdk/typescript/index.ts';
import { AaaError } from '../../wire/aaa/errors.ts';
import { isSafe } from '../../wire/aaa/fetch.ts';
import { goDurationSeconds } from '../../wire/aaa/go-duration.ts';
import { readSection } from '../../wire/aaa/settings.ts';
import { signedPart } from '../../wire/tokens/jwt.ts';
import { type Grants, granted, readGrants } from '../grants.ts';
import { Remembered } from '../remembered.ts';
import { type LoggedIn, loggedIn, type Outcome, refused } from '../user.ts';
import { fitsAccessToken, type IdClaims, IdTokenError, verifyIdToken } from './id-token.ts';
import { Provider, ProviderError } from './provider.ts';

const section = 'oidc_authenticator';
const usualAlgorithms = ['RS256', 'PS256', 'ES256', 'EdDSA'];
const usualScopes = ['openid', 'profile', 'email'];
/** What a user may is known as of his last login, for at most this time. */
const rememberedMs = 7 * 86_400_000;
const longestName = 256;

interface LoginParams {
  readonly credential: string;
  readonly publicKey: string;
}

export default definePlugin({
  kind: 'authenticator',
  version: '1.0.0',
  create: (host) => {
    const oidc = new Oidc(host);
    return {
      methods: {
        'authenticator/check': () => ({ problems: oidc.problems() }),
        'authenticator/describe': () => oidc.describe(),
        'authenticator/login': (params: LoginParams) => oidc.login(params),
        'authenticator/refresh': ({ callerid }: { callerid: string }) => oidc.refresh(callerid),
      },
    };
  },
});

interface Opened {
  readonly settings: OidcSettings;
  readonly provider: Provider;
  readonly grants: Grants;
  readonly maxAgeSeconds: number;
}

class Oidc {
  readonly #host: Host;
  /** ID tokens that were used, by hash: in the device flow nothing else binds them to one login. */
  readonly #used = new Remembered<true>();
  readonly #users = new Remembered<LoggedIn>();
  #opened: Opened | undefined;

  constructor(host: Host) {
    this.#host = host;
  }

  problems(): string[] {
    try {
      this.#open();
      return [];
    } catch (error) {
      return [(error as Error).message];
    }
  }

  describe(): object {
    const { settings } = this.#open();
    const { issuer, client_id: clientId, scopes = usualScopes, flows = ['code', 'device'], userinfo = false } = settings;
    const { redirect_port: port } = settings;
    const exact = port === undefined ? {} : { redirect_port: port };
    return { credential: 'oidc', details: { prefix: 'oidc', issuer, client_id: clientId, scopes, flows, userinfo, ...exact } };
  }

  async login({ credential, publicKey }: LoginParams): Promise<Outcome> {
    const opened = this.#open();
    const now = Date.now();
    try {
      const { idToken, accessToken } = tokensIn(credential);
      const claims = await this.#verified(opened, idToken, publicKey);
      const all = await this.#withUserinfo(opened, claims, idToken, accessToken);
      const user = userOf(opened, all);
      if ('reason' in user) return refused(user.reason);
      const hash = createHash('sha256').update(signedPart(idToken)).digest('hex');
      if (this.#used.has(hash, now)) return refused('the ID token was used before');
      if (!this.#used.keep(hash, true, claims.exp * 1_000, now)) return refused('too many ID tokens are remembered');
      this.#users.keep(user.callerid, user, now + rememberedMs, now);
      return loggedIn(user);
    } catch (error) {
      if (error instanceof ProviderError) this.#host.log.error(printable(error.message));
      if (error instanceof ProviderError || error instanceof IdTokenError) return refused(printable(error.message));
      throw error;
    }
  }

  /** The provider can not be asked without its user: what counted at the login counts. */
  refresh(callerid: string): Outcome {
    const user = this.#users.get(callerid, Date.now());
    return user ? loggedIn(user) : refused('the login is not remembered here; log in again');
  }

  #verified({ settings, provider, maxAgeSeconds }: Opened, idToken: string, publicKey: string): Promise<IdClaims> {
    const { issuer, client_id: clientId, algorithms = usualAlgorithms, flows = ['code', 'device'] } = settings;
    const takesDevice = flows.includes('device');
    return verifyIdToken(idToken, { issuer, clientId, algorithms, maxAgeSeconds, publicKey, takesDevice }, provider);
  }

  async #withUserinfo({ settings, provider }: Opened, claims: IdClaims, idToken: string, accessToken: string | undefined) {
    if (!settings.userinfo) return claims;
    if (accessToken === undefined) throw new IdTokenError('the client sent no access token, and userinfo is on');
    const { decodeProtectedHeader } = await import('jose');
    const { alg = '' } = decodeProtectedHeader(idToken);
    if (!fitsAccessToken(claims, accessToken, alg))
      throw new IdTokenError('the access token belongs to another ID token (at_hash)');
    const told = await provider.userinfo(accessToken);
    if (told.sub !== claims.sub) throw new ProviderError('the provider: userinfo speaks of another user');
    return { ...told, ...claims };
  }

  /** @throws AaaError */
  #open(): Opened {
    this.#opened ??= open(this.#host.config['plugin.aaa.config']);
    return this.#opened;
  }
}

function open(file: unknown): Opened {
  if (typeof file !== 'string') throw new AaaError('AAA_SETTINGS', 'plugin.aaa.config is not set');
  const settings = readSection(file, section) ?? {};
  if (!validate(settings)) {
    const [error] = validate.errors ?? [];
    throw new AaaError('AAA_SETTINGS', `${file}: ${section}${error?.instancePath.replaceAll('/', '.')} ${error?.message}`);
  }
  const { issuer, ca, max_age: age = '10m', groups, everybody } = settings;
  if (!URL.canParse(issuer) || !isSafe(new URL(issuer)))
    throw new AaaError('AAA_SETTINGS', `${file}: ${section}.issuer is '${issuer}', which is no URL with https`);
  const maxAgeSeconds = goDurationSeconds(age);
  if (!maxAgeSeconds)
    throw new AaaError('AAA_SETTINGS', `${file}: ${section}.max_age is '${age}', which is no duration such as 10m`);
  return {
    settings,
    provider: new Provider(issuer, { ca: ca === undefined ? undefined : readFileSync(ca, 'utf8') }),
    grants: readGrants(groups, everybody, `${file}: ${section}`),
    maxAgeSeconds,
  };
}

/** An ID token, or JSON with it and an access token. */
function tokensIn(credential: string): { idToken: string; accessToken: string | undefined } {
  if (!credential.startsWith('{')) return { idToken: credential, accessToken: undefined };
  try {
    const { id_token: idToken, access_token: accessToken } = JSON.parse(credential) as Record<string, unknown>;
    if (typeof idToken === 'string') return { idToken, accessToken: typeof accessToken === 'string' ? accessToken : undefined };
  } catch {
    // Said below.
  }
  throw new IdTokenError('the credential holds no id_token');
}

function userOf({ settings, grants }: Opened, claims: Readonly<Record<string, unknown>>): LoggedIn | { reason: string } {
  const { name_claim: nameClaim = 'sub', groups_claim: groupsClaim = 'groups', tenant_claim: tenantClaim } = settings;
  const name = claims[nameClaim];
  if (typeof name !== 'string' || name === '' || name.length > longestName || printable(name) !== name)
    return { reason: `the claim ${nameClaim} is no name` };
  // Some providers write it as text.
  if (nameClaim === 'email' && !['undefined', 'true'].includes(String(claims.email_verified)))
    return { reason: 'the provider did not verify the address (email)' };
  const told = claims[groupsClaim];
  const groups = (Array.isArray(told) ? told : [told]).filter((group): group is string => typeof group === 'string');
  const grant = granted(grants, groups);
  if (!grant)
    return { reason: `no group of ${name} gets anything here; the provider says ${groups.length} groups (${groupsClaim})` };
  const tenant = tenantClaim === undefined ? undefined : claims[tenantClaim];
  if (tenantClaim !== undefined && typeof tenant !== 'string') return { reason: `the claim ${tenantClaim} is no text` };
  return { ...grant, callerid: `oidc=${name}`, ...(typeof tenant === 'string' && { tenant }) };
}
