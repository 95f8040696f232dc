// Choria protocol v2: requests and replies, their secure forms, and the transport around them. Text to typed values and
// back; signing and trust are not decided here.

import { type ReplyV2, validate as validateReply } from '#schemas/choria/protocol/v2/reply';
import { type RequestV2, validate as validateRequest } from '#schemas/choria/protocol/v2/request';
import { type SecureReplyV2, validate as validateSecureReply } from '#schemas/choria/protocol/v2/secure_reply';
import { type SecureRequestV2, validate as validateSecureRequest } from '#schemas/choria/protocol/v2/secure_request';
import { type TransportV2, validate as validateTransport } from '#schemas/choria/protocol/v2/transport';
import { WireError } from '../errors.ts';
import { emptyFilter, type Filter } from '../filter.ts';
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
import type { ReplyFields, RequestFields, TransportHeaders } from '../v1/messages.ts';

export const protocols = {
  request: 'io.choria.protocol.v2.request',
  reply: 'io.choria.protocol.v2.reply',
  secureRequest: 'io.choria.protocol.v2.secure_request',
  secureReply: 'io.choria.protocol.v2.secure_reply',
  transport: 'io.choria.protocol.v2.transport',
} as const;

const nanoseconds = 1e9;

/** The JSON text of a request, over whose bytes the signature is made. `time` is in seconds, and may have a fraction. */
export function requestText(fields: RequestFields): string {
  return JSON.stringify(requestDocument(fields));
}

/** What that text is of. */
export function requestDocument(fields: RequestFields): RequestV2 {
  const { id, sender, caller, collective, agent, ttl, time, filter, body, traceparent } = fields;
  return {
    protocol: protocols.request,
    message: Buffer.from(body).toString('base64'),
    id,
    sender,
    caller,
    collective,
    agent,
    ttl,
    time: Math.round(time * nanoseconds),
    filter: filter as NonNullable<RequestV2['filter']>,
    ...(traceparent !== undefined && { traceparent }),
  };
}

/** `time` comes in seconds with their fraction, as far as a number holds it. @throws WireError */
export function readRequest(text: string): RequestFields {
  return requestFields(parseJson(text, 'request'));
}

/** Of a text that was parsed already. @throws WireError */
export function requestFields(value: unknown): RequestFields {
  if (!validateRequest(value)) throw schemaError('request', validateRequest.errors);
  const { id, sender, caller, collective, agent, ttl, time, message } = value;
  const { traceparent } = value as { traceparent?: unknown };
  const filter = (value.filter ?? emptyFilter) as unknown as Filter;
  checkWeight(filter);
  return {
    id,
    sender,
    caller,
    collective,
    agent,
    ttl,
    time: time / nanoseconds,
    filter,
    body: decodeBase64(message, 'message of the request').toString('utf8'),
    ...(readTraceparent(traceparent) && { traceparent: traceparent as string }),
  };
}

export interface SecureRequest {
  /** The request's bytes, which the signature is over. */
  readonly request: Buffer;
  /** Empty if it is none of base64. */
  readonly signature: Buffer;
  /** Token of the caller. */
  readonly caller: string;
  /** Token of whoever signed for the caller. */
  readonly signer?: string;
}

export function secureRequestText({ request, signature, caller, signer }: SecureRequest): string {
  const secure: SecureRequestV2 = {
    protocol: protocols.secureRequest,
    request: request.toString('base64'),
    signature: signature.toString('base64'),
    caller,
    ...(signer !== undefined && { signer }),
  };
  return JSON.stringify(secure);
}

/** @throws WireError `WIRE_NOT_JSON`, `WIRE_SCHEMA`, `WIRE_ENCODING` */
export function readSecureRequest(text: string): SecureRequest {
  const value = parseJson(text, 'secure request');
  if (!validateSecureRequest(value)) throw schemaError('secure request', validateSecureRequest.errors);
  const { request, signature, caller, signer } = value;
  return {
    request: decodeBase64(request, 'request'),
    signature: Buffer.from(signature, 'base64'),
    caller,
    ...(signer !== undefined && signer !== '' && { signer }),
  };
}

/** The JSON of a reply, which a node signs. */
export function replyText({ id, sender, agent, time, body }: ReplyFields): string {
  const reply: ReplyV2 = {
    protocol: protocols.reply,
    message: Buffer.from(body).toString('base64'),
    request: id,
    sender,
    agent,
    time: Math.round(time * nanoseconds),
  };
  return JSON.stringify(reply);
}

/** @param signed signature of the reply's bytes and token of the node, if nodes sign here */
export function secureReplyText(reply: string, signed?: { readonly signature: Buffer; readonly sender: string }): string {
  const secure: SecureReplyV2 = {
    protocol: protocols.secureReply,
    reply: Buffer.from(reply).toString('base64'),
    hash: hashOf(reply),
    ...(signed && { signature: signed.signature.toString('base64'), sender: signed.sender }),
  };
  return JSON.stringify(secure);
}

/** Reads a reply and verifies its hash. @throws WireError `WIRE_NOT_JSON`, `WIRE_SCHEMA`, `WIRE_ENCODING`, `WIRE_HASH` */
export function readSecureReply(text: string): ReplyFields {
  const secure = parseJson(text, 'secure reply');
  if (!validateSecureReply(secure)) throw schemaError('secure reply', validateSecureReply.errors);
  const bytes = decodeBase64(secure.reply, 'reply');
  if (!equalText(secure.hash, hashOf(bytes)))
    throw new WireError('WIRE_HASH', 'the hash does not belong to the reply; it was altered on its way');
  const value = parseJson(bytes.toString('utf8'), 'reply');
  if (!validateReply(value)) throw schemaError('reply', validateReply.errors);
  const { request, sender, agent, time, message } = value;
  return {
    id: request,
    sender,
    agent,
    time: Math.floor(time / nanoseconds),
    body: decodeBase64(message, 'message of the reply').toString('utf8'),
  };
}

/** The bytes that go to the broker. */
export function transportBytes(data: string, { replyTo, sender, seenBy, federation }: TransportHeaders): Uint8Array {
  const transport: TransportV2 = {
    protocol: protocols.transport,
    data: Buffer.from(data).toString('base64'),
    headers: {
      ...(replyTo !== '' && { reply: replyTo }),
      ...(sender !== '' && { sender }),
      ...(seenBy.length > 0 && { trace: seenBy.map((hop) => [...hop]) }),
      ...(federation && {
        federation: {
          request: federation.req,
          ...(federation['reply-to'] !== '' && { reply: federation['reply-to'] }),
          ...(federation.target.length > 0 && { targets: [...federation.target] }),
        },
      }),
    },
  };
  return Buffer.from(JSON.stringify(transport));
}

/** @throws WireError for bytes that are no transport of this version */
export function readTransport(payload: Uint8Array): { data: string; headers: TransportHeaders } {
  const { value, protocol } = parseTransport(payload);
  if (protocol !== protocols.transport) throw versionError(protocol, protocols.transport);
  if (!validateTransport(value)) throw schemaError('transport', validateTransport.errors);
  const { reply = '', sender = '', trace = [], federation } = value.headers;
  return {
    data: decodeBase64(value.data, 'data of the transport').toString('utf8'),
    headers: {
      replyTo: reply,
      sender,
      seenBy: trace,
      ...(federation && {
        federation: {
          req: federation.request ?? '',
          'reply-to': federation.reply ?? '',
          target: federation.targets ?? [],
        },
      }),
    },
  };
}
