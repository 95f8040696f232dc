// Logins: when it was made and by whom, how often that was tried, who it is, the second factor, and then a token.

import { setTimeout as delay } from 'node:timers/promises';
import { type Host, printable } from '../../../core/sdk/typescript/index.ts';
import { signedPart } from '../../wire/tokens/jwt.ts';
import type { Answer } from '../route.ts';
import { failed, granted, notSigned } from './answers.ts';
import type { Authenticators, User } from './authenticators.ts';
import type { Callers } from './callers.ts';
import type { Issuers } from './issue.ts';
import { Limit, LoginLimits } from './limits.ts';
import type { Once } from './once.ts';
import { type Proof, problemOfProof } from './proof.ts';
import type { SecondFactor } from './second-factor.ts';
import type { Settings } from './settings.ts';
import { SharedFailures } from './shared-failures.ts';

/** Refusals are answered at multiples of this, whatever they took, so that their time tells nothing. */
const refusalStepMs = 250;
const longestName = 60;

export interface Attempt {
  /** Asked in this order until one knows the user. */
  readonly methods: readonly string[];
  readonly username: string;
  readonly credential: string;
  /** Of the second factor; undefined where it may be the end of the credential. */
  readonly code: string | undefined;
  readonly takesCodeFromCredential: boolean;
  readonly proof: Proof;
  readonly address: string;
  readonly signal: AbortSignal;
}

export interface LoginTools {
  readonly host: Host;
  readonly site: string;
  readonly settings: Settings;
  readonly authenticators: Authenticators;
  readonly issuers: Issuers;
  readonly secondFactor: SecondFactor;
  readonly callers: Callers;
  readonly once: Once;
  /** To the brokers, where there are some. */
  readonly connection: string | undefined;
  readonly replicas: number;
  readonly isAllowed: (address: string) => boolean;
  readonly now: () => number;
}

type Verdict =
  | { readonly authenticator: string; readonly user: User }
  /** With whose code of the second factor was wrong, if that was it. */
  | { readonly authenticator: string; readonly reason: string; readonly wrongCodeOf?: string };

export class Logins {
  readonly #tools: LoginTools;
  readonly #limits: LoginLimits;
  /** Lines in the log about those who try too often. */
  readonly #told = new Limit(1, 60_000);

  constructor(tools: LoginTools) {
    this.#tools = tools;
    const { limits } = tools.settings;
    const { host, connection, replicas, now } = tools;
    const { windowMs } = limits;
    const keys = tools.issuers.shared;
    const onCleared = (key: string) => this.#limits.clearedElsewhere(key);
    const failures = new SharedFailures({ host, connection, replicas, windowMs, keys, now, onCleared });
    this.#limits = new LoginLimits(limits, failures);
    void failures.follow();
  }

  async logIn(attempt: Attempt): Promise<Answer> {
    const started = performance.now();
    const { methods, proof, address, signal } = attempt;
    const { host, now, issuers, isAllowed } = this.#tools;
    const [first = 'none'] = methods;
    const early = isAllowed(address) ? this.#limits.admit(address, now()) : 'its address is none of allowed_clients';
    if (early !== undefined) return this.#refuse(first, attempt, early, started);
    const problem = problemOfProof(proof, now());
    if (problem !== undefined) return this.#refuse(first, attempt, problem, started);
    const limited = this.#limits.begin(userKey(attempt), address, now());
    const verdict = limited === undefined ? await this.#ask(attempt) : { authenticator: first, reason: limited };
    if ('reason' in verdict) {
      if (limited === undefined) this.#limits.failed(userKey(attempt), address, verdict.wrongCodeOf);
      await untilNextStep(started, signal);
      return this.#refuse(verdict.authenticator, attempt, verdict.reason, started);
    }
    const { authenticator, user } = verdict;
    this.#limits.succeeded(userKey(attempt), address, user.callerid);
    try {
      const nowMs = now();
      const authTime = Math.floor(nowMs / 1_000);
      const token = await issuers.issue({ authenticator, user, publicKey: proof.publicKey, authTime, nowMs });
      await this.#count(authenticator, started);
      host.log.info(`${shown(user.callerid)} logged in by ${authenticator} from ${address}`);
      return granted(token);
    } catch (error) {
      host.log.error(`no token can be made for ${shown(user.callerid)}: ${(error as Error).message}`);
      await this.#count(authenticator, started, true);
      return notSigned();
    }
  }

  /** A new token for who has a good one. @param check throws or tells why not, and says who it is */
  async refresh(
    check: () => Promise<Verdict & { readonly publicKey: string; readonly authTime: number }>,
    address: string,
  ): Promise<Answer> {
    const started = performance.now();
    const { host, now, issuers, isAllowed } = this.#tools;
    const early = isAllowed(address) ? this.#limits.admit(address, now()) : 'its address is none of allowed_clients';
    if (early !== undefined) return this.#refuseRefresh('refresh', address, early, started);
    const { publicKey, authTime, ...verdict } = await check();
    const { authenticator } = verdict;
    if ('reason' in verdict) return this.#refuseRefresh(authenticator, address, verdict.reason, started);
    try {
      const token = await issuers.issue({ authenticator, user: verdict.user, publicKey, authTime, nowMs: now() });
      await this.#count(authenticator, started);
      return granted(token);
    } catch (error) {
      host.log.error(`no token can be made for ${shown(verdict.user.callerid)}: ${(error as Error).message}`);
      return notSigned();
    }
  }

  async #ask(attempt: Attempt): Promise<Verdict> {
    const { methods, username, proof, address, signal } = attempt;
    const { authenticators, secondFactor } = this.#tools;
    let reasons = '';
    let { credential, code } = attempt;
    try {
      if (attempt.takesCodeFromCredential)
        ({ password: credential, code } =
          code === undefined ? secondFactor.split(username, credential) : { password: credential, code });
      const params = {
        username,
        credential,
        publicKey: proof.publicKey.toLowerCase(),
        address,
        timestamp: Number(proof.timestamp),
      };
      for (const authenticator of methods) {
        const outcome = await authenticators.login(authenticator, params, { signal });
        if (!outcome.ok) {
          reasons += `${reasons === '' ? '' : '; '}${methods.length > 1 ? `${authenticator}: ` : ''}${outcome.reason}`;
          continue;
        }
        return await this.#afterCredential(authenticator, outcome.user, credential, code);
      }
    } catch (error) {
      reasons = (error as Error).message;
    }
    return { authenticator: methods[0] ?? 'none', reason: reasons === '' ? 'no authenticator takes this' : reasons };
  }

  /** What else is asked of a user whose credential is right. */
  async #afterCredential(authenticator: string, user: User, credential: string, code: string | undefined): Promise<Verdict> {
    const { callerid } = user;
    const refused = (reason: string) => ({ authenticator, reason: `${shown(callerid)}: ${reason}` });
    const unusable = await this.#problemOfUse(authenticator, credential);
    if (unusable !== undefined) return refused(unusable);
    const wrongCode = await this.#checkCode(user, code);
    if (wrongCode !== undefined) return { ...refused(wrongCode), wrongCodeOf: callerid };
    const problem = await this.#tools.callers.problem(callerid);
    return problem === undefined ? { authenticator, user } : refused(problem);
  }

  /** Tokens of a provider are good once; authenticators know that of their own instance. */
  async #problemOfUse(authenticator: string, credential: string): Promise<string | undefined> {
    const { credential: kind } = await this.#tools.authenticators.describe(authenticator);
    if (kind !== 'oidc' || (await this.#tools.once.use(signedPart(idTokenIn(credential))))) return undefined;
    return 'the ID token was used at another instance';
  }

  async #checkCode({ callerid, secondFactor: must = false }: User, code: string | undefined): Promise<string | undefined> {
    const { secondFactor, now } = this.#tools;
    const limited = this.#limits.beginCode(callerid, now());
    if (limited !== undefined) return limited;
    const reason = await secondFactor.check(callerid, code, must, now() / 1_000);
    if (reason === undefined) this.#limits.codeWasRight(callerid);
    return reason;
  }

  /** Names are told by authenticators that know them: what was typed there may be a password. */
  async #refuse(authenticator: string, { address }: Attempt, reason: string, started: number): Promise<Answer> {
    const isLimit = reason.startsWith('too many');
    const { host, now } = this.#tools;
    if (!isLimit || this.#told.take(address, now())) host.log.warn(`a login from ${address} is refused: ${printable(reason)}`);
    await this.#count(authenticator, started, true);
    return failed();
  }

  async #refuseRefresh(authenticator: string, address: string, reason: string, started: number): Promise<Answer> {
    this.#tools.host.log.warn(`a token from ${address} is not refreshed: ${printable(reason)}`);
    await this.#count(authenticator, started, true);
    return failed();
  }

  async #count(authenticator: string, started: number, isError = false): Promise<void> {
    const { metrics } = this.#tools.host;
    const labels = { site: this.#tools.site, authenticator };
    const seconds = (performance.now() - started) / 1_000;
    await Promise.all([
      metrics.add('choria_aaa_authenticator_time_sum', seconds, labels, { help: 'Seconds that logins took' }),
      metrics.add('choria_aaa_authenticator_time_count', 1, labels, { help: 'Logins' }),
      ...(isError ? [metrics.add('choria_aaa_authenticator_errors', 1, labels, { help: 'Logins that were refused' })] : []),
    ]);
  }
}

/** Without a name, as with ID tokens, only the address is known. Directories don't look at case and blanks. */
function userKey({ methods, username, address }: Attempt): string {
  return username === '' ? `${methods[0]} ${address}` : username.normalize('NFKC').toLowerCase().replaceAll(/\s/g, '');
}

/** An ID token, or what JSON says is one, as the authenticator reads it. */
function idTokenIn(credential: string): string {
  if (!credential.startsWith('{')) return credential;
  const { id_token: token } = JSON.parse(credential) as { readonly id_token?: unknown };
  return typeof token === 'string' ? token : credential;
}

function shown(name: string): string {
  return printable(name.slice(0, longestName));
}

async function untilNextStep(started: number, signal: AbortSignal): Promise<void> {
  const took = performance.now() - started;
  const rest = Math.ceil(took / refusalStepMs) * refusalStepMs - took;
  // Whoever has gone needs no answer.
  await delay(rest, undefined, { signal }).catch(() => undefined);
}
