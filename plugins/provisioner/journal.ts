// What the provisioner tells of its work: the log, events for whoever watches, counts, and the last errors.

import { randomUUID } from 'node:crypto';
import type { Host } from '../../core/sdk/typescript/index.ts';
import { connection } from './node-rpc.ts';
import type { Node, Verdict } from './nodes.ts';

/** Steps as they are shown: `configured` until the node restarts, then `up`. */
export type ToldStep = 'seen' | 'token' | 'csr' | 'signed' | 'configured' | 'up' | Verdict;

export interface StepEvent {
  readonly specversion: '1.0';
  readonly type: string;
  readonly source: 'muster.provisioner';
  readonly subject: string;
  readonly id: string;
  readonly time: string;
  readonly data: { readonly identity: string; readonly step: ToldStep; readonly attempt: number; readonly reason?: string };
}

export interface LastError {
  readonly identity: string;
  readonly at: string;
  readonly verdict: Verdict;
  readonly reason: string;
}

export const stepSubject = (step: ToldStep): string => `choria.provisioning.event.${step}`;

const maxErrors = 20;
const maxReason = 300;
/** Failures that are logged in a minute; anybody may cause them. */
const loggedEach = 30;
const minuteMs = 60_000;

export class Journal {
  readonly #host: Host;
  readonly #errors: LastError[] = [];
  readonly counters = {
    seenByEvent: 0,
    seenByDiscovery: 0,
    discoveries: 0,
    discoveryErrors: 0,
    provisioned: 0,
    up: 0,
    deferred: 0,
    failed: 0,
    refused: 0,
    lateToCome: 0,
  };
  readonly #perSecond = new Map<number, number>();
  readonly namesakes = new Map<string, number>();
  #logged = 0;
  #minute = 0;

  constructor(host: Host) {
    this.#host = host;
  }

  get errors(): readonly LastError[] {
    return this.#errors;
  }

  /** Nodes that were enrolled in the last minute. */
  get perMinute(): number {
    const first = Math.floor(performance.now() / 1000) - 60;
    let count = 0;
    for (const [second, number] of this.#perSecond) {
      if (second < first) this.#perSecond.delete(second);
      else count += number;
    }
    return count;
  }

  step({ identity, attempt }: Node, step: ToldStep, reason?: string): void {
    const id = randomUUID();
    const event: StepEvent = {
      specversion: '1.0',
      type: `muster.provisioning.v1.${step}`,
      source: 'muster.provisioner',
      subject: identity,
      id,
      time: new Date().toISOString(),
      data: { identity, step, attempt, ...(reason !== undefined && { reason: reason.slice(0, maxReason) }) },
    };
    // Whoever watches may miss one; nothing depends on it.
    this.#host.bus
      .publish({ connection, subject: stepSubject(step), payload: Buffer.from(JSON.stringify(event)) })
      .catch(() => undefined);
  }

  enrolled(node: Node): void {
    this.counters.provisioned += 1;
    const second = Math.floor(performance.now() / 1000);
    this.#perSecond.set(second, (this.#perSecond.get(second) ?? 0) + 1);
    this.#host.log.debug(`${node.identity} is enrolled`, { attempt: node.attempt });
  }

  failed(node: Node, verdict: Verdict, reason: string, afterMs: number | undefined): void {
    const short = reason.slice(0, maxReason);
    this.counters[verdict] += 1;
    this.#errors.push({ identity: node.identity, at: new Date().toISOString(), verdict, reason: short });
    if (this.#errors.length > maxErrors) this.#errors.shift();
    this.step(node, verdict, short);
    const next = afterMs === undefined ? 'when it shows itself again' : `in ${Math.ceil(afterMs / 1000)} s`;
    const text = `${node.identity} ${verdict === 'deferred' ? 'is put off' : `was ${verdict === 'failed' ? 'not enrolled' : 'refused'}`}: ${short}; it is tried again ${next}`;
    if (this.#mayLog()) this.#host.log.warn(text, { attempt: node.attempt });
    else this.#host.log.debug(text, { attempt: node.attempt });
  }

  namesake(identity: string): void {
    const count = (this.namesakes.get(identity) ?? 0) + 1;
    if (count === 1 && this.namesakes.size >= 256) return;
    this.namesakes.set(identity, count);
    if (count === 1)
      this.#host.log.warn(
        `more than one machine answers to the name ${identity}; the first one counts, and both hear what it is sent; give each a name of its own`,
      );
  }

  #mayLog(): boolean {
    const minute = Math.floor(performance.now() / minuteMs);
    if (minute !== this.#minute) {
      this.#minute = minute;
      this.#logged = 0;
    }
    this.#logged += 1;
    if (this.#logged === loggedEach)
      this.#host.log.warn('more nodes are not enrolled; until the minute is over they are logged at debug');
    return this.#logged < loggedEach;
  }
}
