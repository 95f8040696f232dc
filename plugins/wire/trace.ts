// Traces of requests in W3C's ids. Every side derives the same ids from the id of the request, so nothing is sent for them. Only
// where a client is inside a trace already does its request say so, signed, in a member that Choria passes over.

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

/** What a request is part of. */
export interface TraceContext {
  readonly trace: string;
  /** The span that caused it. */
  readonly parent: string;
  /** Whether it is to be recorded. */
  readonly sampled: boolean;
}

/** Reads W3C's `traceparent`; none for what is not valid, which is to be passed over. */
export function readTraceparent(text: unknown): TraceContext | undefined {
  if (typeof text !== 'string') return undefined;
  const found = /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/.exec(text);
  const [, version, trace, parent, flags, more] = found ?? [];
  if (trace === undefined || parent === undefined || flags === undefined) return undefined;
  if (version === '00' && more !== undefined) return undefined;
  return { trace, parent, sampled: (Number.parseInt(flags, 16) & 1) === 1 };
}

export function traceparentText({ trace, parent, sampled }: TraceContext): string {
  return `00-${trace}-${parent}-${sampled ? '01' : '00'}`;
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
