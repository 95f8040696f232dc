// Nodes made by hand on a bare connection, so that they can be late, silent or say everything twice.

import type { NatsConnection } from 'nats';
import { rpcReplyBody } from '../../plugins/wire/rpc.ts';
import { nodeSubject } from '../../plugins/wire/subjects.ts';
import {
  type RequestFields,
  readRequest,
  readSecureRequest,
  readTransport,
  secureReplyText,
  transportBytes,
} from '../../plugins/wire/v1/messages.ts';

export interface Heard extends RequestFields {
  /** Times that this node was asked, this one included. */
  readonly count: number;
  readonly replyTo: string;
  readonly signature: string;
  reply(data?: unknown, statuscode?: number): void;
}

/** Hears what is sent to a name, or to whole subjects, and answers as the script says. What was heard is in the list. */
export async function scriptedNode(nats: NatsConnection, identity: string, script: (heard: Heard) => void): Promise<Heard[]> {
  const all: Heard[] = [];
  nats.subscribe(nodeSubject('mcollective', identity), {
    callback: (_error, { data }) => {
      const heard = hear(nats, identity, data, all.length + 1);
      all.push(heard);
      script(heard);
    },
  });
  await nats.flush();
  return all;
}

export function hear(nats: NatsConnection, identity: string, payload: Uint8Array, count: number): Heard {
  const { data, headers } = readTransport(payload);
  const { message, signature } = readSecureRequest(data);
  const request = readRequest(message);
  const reply = (value: unknown = {}, statuscode = 0) =>
    nats.publish(headers.replyTo, replyBytes(request, identity, { data: value, statuscode }));
  return { ...request, count, replyTo: headers.replyTo, signature, reply };
}

/** A sealed reply. */
export function replyBytes(
  { id, agent }: Pick<RequestFields, 'id' | 'agent'>,
  sender: string,
  {
    data = {},
    statuscode = 0,
    statusmsg = statuscode === 0 ? 'OK' : 'no',
    time = Math.floor(Date.now() / 1000),
  }: {
    data?: unknown;
    statuscode?: number;
    statusmsg?: string;
    /** Unix seconds by the clock of the node. */
    time?: number;
  },
): Uint8Array {
  const body = rpcReplyBody({ action: 'act', statuscode, statusmsg, data });
  return transportBytes(secureReplyText({ id, sender, agent, body, time }), { replyTo: '', sender, seenBy: [] });
}
