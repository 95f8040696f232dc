// Traces of requests in W3C's ids. A peer of Choria would drop any header for them, so nothing is sent: every side derives the
// same ids from the id of the request.

import { createHash, randomBytes } from 'node:crypto';

/** A span to record, as the contract of the kind `tracer` has it. */
export interface Span {
  readonly trace: string;
  readonly span: string;
  readonly parent?: string;
  readonly name: string;
  readonly role: 'client' | 'server';
  /** Unix milliseconds, with fractions. */
  readonly start: number;
  readonly end: number;
  readonly ok: boolean;
  /** What went wrong. */
  readonly message?: string;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
}

/** 32 hex characters: the id of a request of protocol v1 as it is, of any other a hash. */
export function traceIdOf(requestId: string): string {
  return /^(?!0{32})[0-9a-f]{32}$/.test(requestId) ? requestId : hash(`trace ${requestId}`, 32);
}

/** The client's span of a request, parent of what nodes do for it. */
export function clientSpanOf(requestId: string): string {
  return hash(`client ${requestId}`, 16);
}

export function newSpanId(): string {
  return randomBytes(8).toString('hex');
}

/** Unix milliseconds, with fractions, on one clock for all spans of a process. */
export function spanTime(): number {
  return performance.timeOrigin + performance.now();
}

function hash(text: string, length: number): string {
  return createHash('sha256').update(text).digest('hex').slice(0, length);
}
