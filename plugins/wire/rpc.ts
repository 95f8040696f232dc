// RPC bodies inside requests and replies, payload conventions, and the rule of age (Choria protocol v1 and v2 alike).

import { randomUUID } from 'node:crypto';
import { WireError } from './errors.ts';

/** Status codes of replies. */
export const statusCodes = { ok: 0, aborted: 1, unknownAction: 2, missingData: 3, invalidData: 4, unknownError: 5 } as const;

/** Words for the codes that people see; empty for success. */
export const statusLabels: readonly string[] = [
  '',
  'Request Aborted',
  'Unknown Action',
  'Missing Request Data',
  'Invalid Request Data',
  'Unknown Request Status',
];

export interface RpcRequest {
  readonly agent: string;
  readonly action: string;
  readonly data: unknown;
}

export interface RpcReply {
  readonly action: string;
  readonly statuscode: number;
  readonly statusmsg: string;
  readonly data: unknown;
}

/** The discovery payload: the text `ping` in base64. */
export const pingPayload = 'cGluZw==';
export const pongPayload = 'pong';

const overwritten: Readonly<Record<string, string>> = {
  requestid: 'string',
  senderid: 'string',
  callerid: 'string',
  collective: 'string',
  ttl: 'number',
  time: 'string',
  agent: 'string',
  action: 'string',
};

/** @throws WireError `WIRE_BODY` with the reason */
export function readRpcRequest(body: string): RpcRequest {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch (error) {
    throw new WireError('WIRE_BODY', (error as Error).message);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new WireError('WIRE_BODY', 'the body is not an object');
  const fields = value as Record<string, unknown>;
  for (const [key, type] of Object.entries(overwritten)) {
    if (fields[key] !== undefined && typeof fields[key] !== type) throw new WireError('WIRE_BODY', `${key} must be a ${type}`);
  }
  return { agent: String(fields.agent ?? ''), action: String(fields.action ?? ''), data: fields.data ?? {} };
}

/** The body of a reply, keys in the order that Choria writes them. */
export function rpcReplyBody({ action, statuscode, statusmsg, data }: RpcReply): string {
  return JSON.stringify({ action, statuscode, statusmsg, data: data ?? {} });
}

/** Data that is nested deeper is none that anybody reads, and more than the stack takes of whoever walks through it. */
const maxDepth = 400;

/** @throws WireError `WIRE_BODY` */
export function readRpcReply(body: string): RpcReply {
  try {
    const value = JSON.parse(body) as Partial<RpcReply> | null;
    if (typeof value?.statuscode === 'number' && Number.isSafeInteger(value.statuscode)) {
      if (isDeeper(body, value.data, maxDepth))
        throw new WireError('WIRE_BODY', `the data of this reply is nested deeper than ${maxDepth} levels`);
      return {
        action: String(value.action ?? ''),
        statuscode: value.statuscode,
        statusmsg: String(value.statusmsg ?? ''),
        data: value.data,
      };
    }
  } catch (error) {
    if (error instanceof WireError) throw error;
  }
  throw new WireError('WIRE_BODY', `this is no RPC reply: ${body.slice(0, 60)}`);
}

/** Whether a value that was read from a text is nested deeper; without recursion, since it may be very deep. */
function isDeeper(text: string, value: unknown, limit: number): boolean {
  // Each level takes two characters at least.
  if (text.length < 2 * limit) return false;
  let level = [value];
  for (let depth = 0; depth <= limit; depth += 1) {
    level = level.flatMap((item) => (typeof item === 'object' && item !== null ? Object.values(item) : []));
    if (level.length === 0) return false;
  }
  return true;
}

/** Tries base64 first, as Choria servers do with every payload; JSON is never base64. */
export function decodePayload(body: string): string {
  if (body.length === 0 || body.length % 4 !== 0 || !/^[A-Za-z0-9+/]+={0,2}$/.test(body)) return body;
  return Buffer.from(body, 'base64').toString('utf8');
}

/** Whether a request is of an age to be answered. Times and TTL in seconds; strict on both sides. */
export function ageAllowed(nowSeconds: number, time: number, ttl: number): boolean {
  return nowSeconds - ttl < time && time < nowSeconds + ttl;
}

/** A new request id for protocol v1: a UUID without dashes. */
export function newRequestId(): string {
  return randomUUID().replaceAll('-', '');
}
