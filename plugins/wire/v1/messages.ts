// Choria protocol v1: requests and replies, their secure forms, and the transport around them. Text to typed values and
// back; signing and trust are not decided here.

import { type ReplyV1, validate as validateReply } from '#schemas/choria/protocol/v1/reply';
import { type RequestV1, validate as validateRequest } from '#schemas/choria/protocol/v1/request';
import { type SecureReplyV1, validate as validateSecureReply } from '#schemas/choria/protocol/v1/secure_reply';
import { type SecureRequestV1, validate as validateSecureRequest } from '#schemas/choria/protocol/v1/secure_request';
import { type TransportV1, validate as validateTransport } from '#schemas/choria/protocol/v1/transport';
import { WireError } from '../errors.ts';
import type { Filter } from '../filter.ts';
import {
  checkWeight,
  decodeBase64,
  equalText,
  hashOf,
  parseJson,
  parseTransport,
  schemaError,
  versionError,
} from '../message-parts.ts';
import { readTraceparent } from '../trace.ts';

export const protocols = {
  request: 'choria:request:1',
  reply: 'choria:reply:1',
  secureRequest: 'choria:secure:request:1',
  secureReply: 'choria:secure:reply:1',
  transport: 'choria:transport:1',
} as const;

export interface Federation {
  readonly req: string;
  readonly 'reply-to': string;
  readonly target: readonly string[];
}

/** What a transport carries besides the message. None of it is signed. */
export interface TransportHeaders {
  /** NATS subject that the reply goes to; empty on replies. */
  readonly replyTo: string;
  /** Identity of the machine that sent it. */
  readonly sender: string;
  /** Hops: [broker in, identity, broker out]. */
  readonly seenBy: readonly (readonly string[])[];
  readonly federation?: Federation;
}

export interface RequestFields {
  /** 32 lower-case hex characters. */
  readonly id: string;
  readonly sender: string;
  readonly caller: string;
  readonly collective: string;
  readonly agent: string;
  /** Seconds, 30 at least. */
  readonly ttl: number;
  /** Unix seconds. */
  readonly time: number;
  readonly filter: Filter;
  readonly body: string;
  /** The trace that the caller is in, as W3C writes it. Not of Choria, whose nodes pass over it. */
  readonly traceparent?: string;
}

export interface ReplyFields {
  readonly id: string;
  readonly sender: string;
  readonly agent: string;
  /** Unix seconds. */
  readonly time: number;
  readonly body: string;
}

/** The JSON text of a request, over whose bytes the signature is made. */
export function requestText(fields: RequestFields): string {
  return JSON.stringify(requestDocument(fields));
}

/** What that text is of. */
export function requestDocument(fields: RequestFields): RequestV1 {
  const { id, sender, caller, collective, agent, ttl, time, filter, body, traceparent } = fields;
  return {
    protocol: protocols.request,
    message: body,
    envelope: {
      requestid: id,
      senderid: sender,
      callerid: caller,
      collective,
      agent,
      ttl,
      time,
      filter: filter as RequestV1['envelope']['filter'],
      ...(traceparent !== undefined && { traceparent }),
    },
  };
}

/** @throws WireError `WIRE_NOT_JSON`, `WIRE_SCHEMA` */
export function readRequest(text: string): RequestFields {
  return requestFields(parseJson(text, 'request'));
}

/** Of a text that was parsed already. @throws WireError `WIRE_SCHEMA` */
export function requestFields(value: unknown): RequestFields {
  if (!validateRequest(value)) throw schemaError('request', validateRequest.errors);
  const { requestid, senderid, callerid, collective, agent, ttl, time } = value.envelope;
  const { traceparent } = value.envelope as { traceparent?: unknown };
  const filter = value.envelope.filter as unknown as Filter;
  checkWeight(filter);
  return {
    id: requestid,
    sender: senderid,
    caller: callerid,
    collective,
    agent,
    ttl,
    time,
    filter,
    body: value.message,
    ...(readTraceparent(traceparent) && { traceparent: traceparent as string }),
  };
}

export function secureRequestText(message: string, signature: string, pubcert: string): string {
  const secure: SecureRequestV1 = { protocol: protocols.secureRequest, message, signature, pubcert };
  return JSON.stringify(secure);
}

/** @throws WireError `WIRE_NOT_JSON`, `WIRE_SCHEMA` */
export function readSecureRequest(text: string): SecureRequestV1 {
  const value = parseJson(text, 'secure request');
  if (!validateSecureRequest(value)) throw schemaError('secure request', validateSecureRequest.errors);
  return value;
}

/** The JSON text of a reply with its hash. */
export function secureReplyText({ id, sender, agent, time, body }: ReplyFields): string {
  const reply: ReplyV1 = { protocol: protocols.reply, message: body, envelope: { requestid: id, senderid: sender, agent, time } };
  const message = JSON.stringify(reply);
  const secure: SecureReplyV1 = { protocol: protocols.secureReply, message, hash: hashOf(message) };
  return JSON.stringify(secure);
}

/** Reads a reply and verifies its hash. @throws WireError `WIRE_NOT_JSON`, `WIRE_SCHEMA`, `WIRE_HASH` */
export function readSecureReply(text: string): ReplyFields {
  const secure = parseJson(text, 'secure reply');
  if (!validateSecureReply(secure)) throw schemaError('secure reply', validateSecureReply.errors);
  if (!equalText(secure.hash, hashOf(secure.message)))
    throw new WireError('WIRE_HASH', 'the hash does not belong to the reply; it was altered on its way');
  const value = parseJson(secure.message, 'reply');
  if (!validateReply(value)) throw schemaError('reply', validateReply.errors);
  const { requestid, senderid, agent, time } = value.envelope;
  return { id: requestid, sender: senderid, agent, time, body: value.message };
}

/** The bytes that go to the broker. */
export function transportBytes(data: string, headers: TransportHeaders): Uint8Array {
  const { replyTo, sender, seenBy, federation } = headers;
  const transport = {
    protocol: protocols.transport,
    data: Buffer.from(data).toString('base64'),
    headers: {
      ...(replyTo !== '' && { 'reply-to': replyTo }),
      ...(sender !== '' && { mc_sender: sender }),
      ...(seenBy.length > 0 && { 'seen-by': seenBy }),
      ...(federation && { federation }),
    },
  };
  return Buffer.from(JSON.stringify(transport));
}

/** @throws WireError for bytes that are no transport of this version */
export function readTransport(payload: Uint8Array): { data: string; headers: TransportHeaders } {
  const { value, protocol } = parseTransport(payload);
  if (protocol !== protocols.transport) throw versionError(protocol, protocols.transport);
  if (!validateTransport(value)) throw schemaError('transport', validateTransport.errors);
  const { headers } = value as TransportV1;
  const { federation } = headers;
  return {
    data: decodeBase64(value.data, 'data of the transport').toString('utf8'),
    headers: {
      replyTo: headers['reply-to'] ?? '',
      sender: headers.mc_sender ?? '',
      seenBy: headers['seen-by'] ?? [],
      // What is empty is left out on the wire: a federation broker has taken the targets off.
      ...(federation && {
        federation: {
          req: federation.req ?? '',
          'reply-to': federation['reply-to'] ?? '',
          target: federation.target ?? [],
        },
      }),
    },
  };
}
