// Where a federated message goes next, and with which headers. Pure: what it decides depends on the message alone.

import { WireError } from '../wire/errors.ts';
import { RoutedMessage, type Routing } from '../wire/routing.ts';
import { federationSubject, isRequestSubject, mayReplyTo } from '../wire/subjects.ts';

/** Final subjects of one message. Clients put at most 200 into one; more would make the broker an amplifier. */
const maxTargets = 1_000;

export type Refusal =
  | 'unreadable'
  | 'unfederated'
  | 'no targets'
  | 'too many targets'
  | 'no reply subject'
  | 'target'
  | 'reply subject';

/** A message that is not passed on. */
export class RefusedError extends Error {
  override readonly name = 'RefusedError';
  readonly code: Refusal;

  constructor(code: Refusal, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export interface Forwarded {
  readonly subjects: readonly string[];
  readonly payload: Uint8Array;
}

type Hop = readonly [serverIn: string, who: string, serverOut: string];

/** A request from the federation, for the subjects that it names; its replies come back to the network's own subject. @throws RefusedError */
export function forwardRequest(payload: Uint8Array, network: string, hop: Hop): Forwarded {
  const message = read(payload);
  const { replyTo, hops, federation } = federated(message);
  const { request, targets } = federation;
  if (targets.length === 0) throw new RefusedError('no targets', `request ${request} names no target`);
  if (targets.length > maxTargets)
    throw new RefusedError(
      'too many targets',
      `request ${request} names ${targets.length} targets, at most ${maxTargets} are taken`,
    );
  if (replyTo === '') throw new RefusedError('no reply subject', `request ${request} has no reply subject`);
  const wrong = targets.find((target) => !isRequestSubject(target));
  if (wrong !== undefined)
    throw new RefusedError('target', `request ${request} is for '${wrong.slice(0, 80)}', which is no subject of requests`);
  refuseReplySubject(replyTo, request);
  const routing: Routing = {
    replyTo: federationSubject(network, 'collective'),
    hops: [...hops, hop],
    federation: { request, replyTo, targets: [] },
  };
  return { subjects: targets, payload: message.withRouting(routing) };
}

/** A reply of the network, for the client that waits. @throws RefusedError */
export function forwardReply(payload: Uint8Array, hop: Hop): Forwarded {
  const message = read(payload);
  const { replyTo, hops, federation } = federated(message);
  if (federation.replyTo === '')
    throw new RefusedError('no reply subject', `the reply to request ${federation.request} has no reply subject`);
  refuseReplySubject(federation.replyTo, federation.request);
  return { subjects: [federation.replyTo], payload: message.withRouting({ replyTo, hops: [...hops, hop] }) };
}

function read(payload: Uint8Array): RoutedMessage {
  try {
    return new RoutedMessage(payload);
  } catch (error) {
    if (error instanceof WireError) throw new RefusedError('unreadable', error.message, { cause: error });
    throw error;
  }
}

function federated({ routing }: RoutedMessage): Routing & Required<Pick<Routing, 'federation'>> {
  const { federation } = routing;
  if (!federation) throw new RefusedError('unfederated', 'the message has no federation header');
  return { ...routing, federation };
}

function refuseReplySubject(subject: string, request: string): void {
  if (!mayReplyTo(subject))
    throw new RefusedError(
      'reply subject',
      `the replies to request ${request} may not go to '${subject.slice(0, 80)}', which is no subject of replies`,
    );
}
