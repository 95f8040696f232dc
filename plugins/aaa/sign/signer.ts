// Turns a request and a token into a secure request, straight through: read, token, lifetime, revocation, signature of the
// user, caller, shape, time, replay, authorizer, signature, record. What fails is refused, and recorded too.

import { verify } from 'node:crypto';
import { promisify } from 'node:util';
import type { Host } from '../../../core/sdk/typescript/index.ts';
import { Lane } from '../../wire/lane.ts';
import { type ClientClaims, callerOf } from '../../wire/tokens/client.ts';
import type { Revocations } from '../../wire/tokens/revocations.ts';
import type { Audit } from './audit.ts';
import type { Countersigner } from './countersigner.ts';
import type { SignerNumbers } from './numbers.ts';
import { isOurs, Refusal } from './refusal.ts';
import type { Replays } from './replays.ts';
import { type Asked, checkTime, cutDown, endOfLife, type InnerRequest, readAsked, readInner, withCaller } from './request.ts';
import type { UserTokens } from './tokens.ts';

const authorizeMs = 15_000;
/** In work; plugins take so many without refusing some. */
const mostInWork = 256;
/** With those that wait; more would wait longer than their clients. */
const mostRunning = 8_192;
const mostReason = 1_000;
/** Characters of a request that are recorded though its sender is not known. */
const mostOfStranger = 4_096;
/** Of a caller in the log, who may call himself anything. */
const mostName = 100;
const mostDiscoverySeconds = 86_400;
/** Clocks may be off by some of it on both sides. */
const slackMs = 60_000;
const verifies = promisify(verify);
/** At once, beside signatures of the service; one takes a third of the time of those. */
const mostVerified = 4;

export interface SignCall {
  readonly token: string;
  readonly request: string;
  /** Hex; empty if there is none. */
  readonly signature: string;
}

export type Signed =
  | { readonly secure: string }
  | { readonly refusal: Refusal /** What the user is told besides that it was refused. */; readonly reason?: string };

export interface SignerParts {
  readonly host: Host;
  readonly tokens: UserTokens;
  readonly revocations: Revocations;
  readonly replays: Replays;
  readonly countersigner: Countersigner;
  readonly audit: Audit;
  readonly numbers: SignerNumbers;
  readonly authorizer: string;
  readonly site: string;
  readonly bearer: boolean;
  readonly maxTtlSeconds: number;
}

export class Signer {
  readonly #parts: SignerParts;
  readonly #running = new Set<Promise<Signed>>();
  readonly #verifying = new Lane(mostVerified);
  readonly #working = new Lane(mostInWork);

  constructor(parts: SignerParts) {
    this.#parts = parts;
  }

  get running(): number {
    return this.#running.size;
  }

  sign(call: SignCall): Promise<Signed> {
    if (this.#running.size >= mostRunning) {
      const refusal = new Refusal('SIGNER_BUSY', `${mostRunning} requests are being signed already; run another instance`);
      return Promise.resolve(this.#refused(refusal, 'somebody'));
    }
    const running = this.#working.run(() => this.#sign(call)).finally(() => this.#running.delete(running));
    this.#running.add(running);
    return running;
  }

  async drained(): Promise<void> {
    await Promise.allSettled(this.#running);
  }

  async #sign(call: SignCall): Promise<Signed> {
    const { numbers, host } = this.#parts;
    let inner: InnerRequest;
    try {
      inner = readInner(call.request);
    } catch (error) {
      return this.#refused(error, 'somebody');
    }
    const attempt = new Attempt(this.#parts, call, inner, this.#verifying);
    try {
      const secure = await attempt.run();
      numbers.allowed += 1;
      host.log.debug(`signed ${attempt.what} for ${attempt.caller}`);
      return { secure };
    } catch (error) {
      attempt.release(error);
      const signed = this.#refused(error, attempt.caller, attempt.what);
      const recorded = this.#parts.audit.record(attempt.decision('deny')).catch(() => undefined);
      // Who could not record what was allowed has had his time.
      if (!('refusal' in signed) || signed.refusal.code !== 'SIGNER_AUDIT') await recorded;
      return signed;
    }
  }

  #refused(error: unknown, caller: string, what = 'a request'): Signed {
    const { numbers, host } = this.#parts;
    numbers.denied += 1;
    // What nobody thought of is a refusal like any other.
    const refusal =
      error instanceof Refusal ? error : new Refusal('SIGNER_KEY', `it failed: ${(error as Error).message}`, { cause: error });
    if (refusal.code === 'SIGNER_TOKEN' || refusal.code === 'SIGNER_LIFETIME') numbers.invalidTokens += 1;
    const line = `refused ${what} of ${caller.slice(0, mostName)}: ${refusal.message}`;
    host.log[isOurs(refusal.code) || refusal.code === 'SIGNER_AUTHORIZER' ? 'error' : 'warn'](line, { code: refusal.code });
    return { refusal, ...(refusal.told !== undefined && { reason: refusal.told.slice(0, mostReason) }) };
  }
}

/** One request on its way. */
class Attempt {
  readonly #parts: SignerParts;
  readonly #call: SignCall;
  readonly #inner: InnerRequest;
  /** As the request says, until the token is known to be good. */
  caller: string;
  /** With the caller of the token, once that is known to be good. */
  #document: object | undefined;
  #asked: Asked;
  #free: (() => void) | undefined;
  #isKnown = false;
  readonly #verifying: Lane;

  constructor(parts: SignerParts, call: SignCall, inner: InnerRequest, verifying: Lane) {
    this.#parts = parts;
    this.#call = call;
    this.#inner = inner;
    this.#verifying = verifying;
    this.caller = inner.fields.caller;
  }

  get what(): string {
    const { agent, id } = this.#inner.fields;
    return `${agent}${this.#asked ? `#${this.#asked.action}` : ''} (request ${id})`.slice(0, 200);
  }

  decision(action: 'allow' | 'deny') {
    // Whoever has no token must not be able to fill the disk that records are on.
    if (!this.#isKnown && this.#call.request.length > mostOfStranger) {
      const inner = cutDown(this.#inner);
      return { caller: inner.fields.caller, action, inner, request: withCaller(inner, inner.fields.caller) };
    }
    const request = this.#document ?? (JSON.parse(this.#call.request) as object);
    return { caller: this.caller, action, inner: this.#inner, request };
  }

  /** A request that was not signed by a fault of this service may come again. */
  release(error: unknown): void {
    if (!(error instanceof Refusal) || isOurs(error.code) || error.code === 'SIGNER_AUTHORIZER') this.#free?.();
  }

  async run(): Promise<string> {
    const { tokens, revocations, countersigner, audit, replays, maxTtlSeconds } = this.#parts;
    const { token, request } = this.#call;
    const { fields } = this.#inner;
    const now = Date.now();
    const { claims, key } = await tokens.verify(token.trim(), now);
    const revoked = revocations.revoked(claims);
    if (revoked !== undefined)
      throw new Refusal('SIGNER_REVOKED', `the token was revoked${revoked === '' ? '' : `: ${revoked}`}`);
    await this.#checkSignature(key);
    this.#isKnown = true;
    const caller = callerOf(claims);
    if (!/^[a-z]+=[\w.-]/.test(caller)) throw new Refusal('SIGNER_CALLER', 'the callerid of the token is none that nodes take');
    this.caller = caller;
    const document = withCaller(this.#inner, caller);
    this.#document = document;
    this.#asked = readAsked(this.#inner);
    // Pings live for a day, since they are to find nodes whose clocks are off, and do nothing but that.
    checkTime(fields, now, this.#asked ? maxTtlSeconds : Math.max(maxTtlSeconds, mostDiscoverySeconds));
    const end = Math.min(endOfLife(fields), now + 2 * maxTtlSeconds * 1000 + slackMs);
    this.#free = replays.claim(caller, request, end, now);
    if (!this.#free) throw new Refusal('SIGNER_REPLAY', 'the same request was signed before');
    await this.#authorize(claims);
    const secure = await countersigner.sign(JSON.stringify(document), this.#inner.version);
    // The record comes before the signature leaves: whoever ends this process now leaves a record of what nobody got.
    await audit.record(this.decision('allow'));
    return secure;
  }

  async #checkSignature(key: Parameters<typeof verifies>[2]): Promise<void> {
    const { signature, request } = this.#call;
    if (signature === '') {
      if (this.#parts.bearer) return;
      throw new Refusal('SIGNER_SIGNATURE', 'its user did not sign the request');
    }
    const isHex = /^[0-9a-f]{128}$/i.test(signature);
    const fits = () => verifies(null, Buffer.from(request), key, Buffer.from(signature, 'hex'));
    if (!isHex || !(await this.#verifying.run(fits)))
      throw new Refusal('SIGNER_SIGNATURE', 'it was altered, or signed with another key than that of its token');
  }

  async #authorize(claims: ClientClaims): Promise<void> {
    const asked = this.#asked;
    const { numbers } = this.#parts;
    if (!asked) {
      numbers.decided('discovery', true);
      return;
    }
    const { allowed, reason, explanation = [] } = await this.#decide(asked, claims);
    numbers.decided(`${asked.agent}.${asked.action}`, allowed);
    if (allowed) return;
    const told = explanation.length > 0 ? explanation.join(' ') : reason;
    throw new Refusal('SIGNER_DENIED', `${this.#parts.authorizer} denied it: ${reason}`, { told });
  }

  async #decide(asked: NonNullable<Asked>, claims: ClientClaims) {
    const { host, authorizer, site, numbers } = this.#parts;
    const { id, sender, collective, ttl, time, filter } = this.#inner.fields;
    const { agent, action, data } = asked;
    const request = { agent, action, caller: this.caller, collective, data, id, sender, ttl, time, filter, site, claims };
    try {
      const { decisions } = (await host.plugins.call(
        'authorizer',
        authorizer,
        'authorizer/authorize',
        { requests: [request] },
        { deadlineMs: authorizeMs },
      )) as { decisions: { allowed: boolean; reason: string; explanation?: string[] }[] };
      const [decision] = decisions;
      if (decision) return decision;
      throw new Error('it made no decision');
    } catch (error) {
      numbers.authorizerErrors += 1;
      numbers.decided(`${agent}.${action}`, false);
      throw new Refusal('SIGNER_AUTHORIZER', `the authorizer ${authorizer} failed: ${(error as Error).message}`, {
        cause: error,
      });
    }
  }
}
