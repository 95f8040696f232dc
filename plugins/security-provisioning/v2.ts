// The same in messages of protocol v2, for a node whose token asks for it.

import { digestOf, withHop } from '../wire/message-parts.ts';
import { decodePayload } from '../wire/rpc.ts';
import type { ReplyToSeal } from '../wire/security-params.ts';
import {
  readRequest,
  readSecureRequest,
  readTransport,
  replyText,
  secureReplyText,
  transportBytes,
} from '../wire/v2/messages.ts';

/** @throws WireError */
export function openV2(payload: Uint8Array) {
  const { data, headers } = readTransport(payload);
  const { request: bytes } = readSecureRequest(data);
  const request = readRequest(bytes.toString('utf8'));
  const time = Math.floor(request.time);
  return {
    request: { version: 2, ...request, time, body: decodePayload(request.body), digest: digestOf(bytes) },
    transport: headers,
  };
}

export function sealV2({ id, sender, agent, body, server }: ReplyToSeal) {
  const data = secureReplyText(replyText({ id, sender, agent, body, time: Date.now() / 1000 }));
  const seenBy = server === undefined ? [] : withHop([], server, sender);
  return { payload: transportBytes(data, { replyTo: '', sender, seenBy }) };
}
