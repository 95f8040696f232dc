// Life after enrolment: a node that serves goes back into provisioning before its certificate ends, and one that waits there in
// vain goes back to what it has.

import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import type { Host } from '../../core/sdk/typescript/index.ts';
import { type RenewalMark, readRenewalMark, writeRenewalMark } from '../wire/provisioning/renewal-mark.ts';
import { readProvisioningToken } from '../wire/tokens/provisioning.ts';

export interface RenewalConfig {
  readonly 'plugin.security.provider'?: string;
  readonly 'plugin.security.file.certificate'?: string;
  readonly 'plugin.muster.provisioning.active': boolean;
  readonly 'plugin.muster.provisioning.renewing': boolean;
  readonly 'plugin.muster.provisioning.token'?: string;
  readonly 'plugin.muster.provisioning.renew_at': string;
  /** Milliseconds. */
  readonly 'plugin.muster.provisioning.renew_timeout': number;
}

export interface Life {
  /** Unix milliseconds. */
  readonly from: number;
  readonly until: number;
}

export interface RenewalPlan {
  /** Of the certificate, if this node has one that it renews by itself. */
  readonly life: Life | undefined;
  /** The part of its life after which it is renewed. */
  readonly fraction: number;
  /** From 0 to 1, of this node: so that those that were enrolled together do not come back together. */
  readonly lot: number;
  readonly mark: Pick<RenewalMark, 'state' | 'since' | 'attempts'> | undefined;
  readonly timeoutMs: number;
}

const checkMs = 30_000;
const settleMs = 1_000;
const dayMs = 86_400_000;
const usualFraction = 0.8;
/** Of what is left of a life, how much renewals are spread over, and how long a node waits at most before it tries again. */
const [spread, retryPart] = [0.5, 0.25];

/** When a node is to be provisioned anew, in Unix milliseconds. One that tried it in vain tries again, whatever sent it there. */
export function renewalTime({ life, fraction, lot, mark, timeoutMs }: RenewalPlan): number {
  const until = life?.until ?? Number.POSITIVE_INFINITY;
  if (mark?.state === 'waiting') {
    const waited = Math.min(
      timeoutMs * 2 ** Math.min(mark.attempts ?? 1, 10),
      dayMs,
      Math.max(0, until - mark.since) * retryPart,
    );
    return mark.since + waited * (0.5 + lot / 2);
  }
  if (!life) return Number.POSITIVE_INFINITY;
  const planned = life.from + (until - life.from) * fraction;
  return planned + (until - planned) * spread * lot;
}

export class Renewal {
  readonly #host: Host;
  readonly #config: RenewalConfig;
  readonly #lot = Math.random();
  readonly #restart: (reason: string) => Promise<unknown>;
  #problem = '';
  #hasWarned = false;

  /** @param restart orders the restart of the node, unless its end is ordered already */
  constructor(host: Host, restart: (reason: string) => Promise<unknown>) {
    this.#host = host;
    this.#config = host.config as unknown as RenewalConfig;
    this.#restart = restart;
  }

  /** @param inTurn does something when no action runs */
  async start(inTurn: (what: () => Promise<void>) => Promise<void>): Promise<void> {
    const { timers, control } = this.#host;
    const { configFile } = await control.info();
    if (configFile === null) return;
    if (!this.#config['plugin.muster.provisioning.active'])
      await timers.set({ id: 'renewal', afterMs: settleMs, everyMs: checkMs }, () => this.#look(configFile));
    else if (this.#config['plugin.muster.provisioning.renewing'])
      await timers.set({ id: 'renewal', afterMs: this.#config['plugin.muster.provisioning.renew_timeout'] }, () =>
        inTurn(() => this.#giveUp(configFile)),
      );
  }

  /** For a node that was configured and is not told to restart: whoever configured it may be gone. */
  async configured(): Promise<void> {
    const afterMs = this.#config['plugin.muster.provisioning.renew_timeout'];
    await this.#host.timers.set({ id: 'renewal', afterMs }, () => this.#restart('it is configured, and nobody ordered it'));
  }

  async #look(configFile: string): Promise<void> {
    const life = this.#life();
    const fraction = this.#fraction();
    const timeoutMs = this.#config['plugin.muster.provisioning.renew_timeout'];
    const mark = readRenewalMark(configFile);
    const now = Date.now();
    if (now < renewalTime({ life, fraction, lot: this.#lot, mark, timeoutMs })) return;
    const problem = await this.#tokenProblem(now);
    if (problem !== undefined) return this.#say(problem);
    const reason = mark?.reason ?? `its certificate ends at ${new Date(life?.until ?? now).toISOString()}`;
    writeRenewalMark(configFile, { version: 1, state: 'wanted', reason, since: now, attempts: mark?.attempts ?? 0 });
    this.#host.log.info(`this node goes to be provisioned anew: ${reason}`);
    await this.#host.events.emit('node/renewing', {});
    await this.#restart(reason);
  }

  #fraction(): number {
    const text = this.#config['plugin.muster.provisioning.renew_at'];
    const fraction = Number(text);
    if (fraction > 0 && fraction <= 1) return fraction;
    if (!this.#hasWarned)
      this.#host.log.warn(
        `plugin.muster.provisioning.renew_at is '${text}'; it has to be between 0 and 1, and ${usualFraction} is used`,
      );
    this.#hasWarned = true;
    return usualFraction;
  }

  async #giveUp(configFile: string): Promise<void> {
    const mark = readRenewalMark(configFile);
    // Without it the node has been configured meanwhile.
    if (mark?.state !== 'wanted') return;
    const attempts = (mark.attempts ?? 0) + 1;
    writeRenewalMark(configFile, { ...mark, state: 'waiting', since: Date.now(), attempts });
    this.#host.log.warn(
      `nobody provisioned this node within ${this.#config['plugin.muster.provisioning.renew_timeout'] / 1000} s; it goes back to its fleet with what it has, and tries again later`,
    );
    await this.#restart('nobody provisioned it');
  }

  /** Of the certificate that this node has by itself; Puppet renews its own. */
  #life(): Life | undefined {
    const file = this.#config['plugin.security.file.certificate'];
    if (this.#config['plugin.security.provider'] !== 'file' || file === undefined || !existsSync(file)) return undefined;
    try {
      const { validFrom, validTo } = new X509Certificate(readFileSync(file));
      // Authorities date back, and one that gives little time must not have its nodes come back at once.
      const written = Math.min(statSync(file).mtimeMs, Date.now());
      return { from: Math.max(Date.parse(validFrom), written), until: Date.parse(validTo) };
    } catch {
      return undefined;
    }
  }

  async #tokenProblem(now: number): Promise<string | undefined> {
    const file = this.#config['plugin.muster.provisioning.token'] ?? '';
    try {
      const { exp } = await readProvisioningToken(readFileSync(file, 'utf8'));
      return exp !== undefined && exp * 1000 <= now ? `the provisioning token ${file} has expired` : undefined;
    } catch (error) {
      return `the provisioning token ${file} can not be used: ${(error as Error).message}`;
    }
  }

  /** Once, until it changes. */
  #say(problem: string): void {
    if (problem !== this.#problem) this.#host.log.error(`this node is to be provisioned anew, but ${problem}`);
    this.#problem = problem;
  }
}
