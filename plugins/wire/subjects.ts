// NATS subjects of the fleet (Choria's layout), and which of them a reply may go to.

import { createHash } from 'node:crypto';

/** A line of the broker's protocol has 4,096 bytes; a character takes three at most, and there is more on the line. */
const maxSubjectLength = 1_024;
/** As of host names. */
const maxNameLength = 253;

export const broadcastSubject = (collective: string, agent: string): string => `${collective}.broadcast.agent.${agent}`;
export const nodeSubject = (collective: string, identity: string): string => `${collective}.node.${identity}`;
export const serviceSubject = (collective: string, agent: string): string => `${collective}.broadcast.service.${agent}`;

/** Where a federation takes requests for a member network, and replies from it. */
export const federationSubject = (network: string, side: 'federation' | 'collective'): string =>
  `choria.federation.${network}.${side}`;

/** Where nodes of one identity meet; there should be only one. Muster's own, no part of Choria's layout. */
export const identitySubject = (identity: string): string => `muster.identity.${identity}`;

/** `<collective>.reply.<md5 of the caller id>.<request id>` */
export function replySubject(collective: string, caller: string, requestId: string): string {
  return `${collective}.reply.${callerHash(caller)}.${requestId}`;
}

/** Hex MD5 of the caller id: a name, not a protection. */
export function callerHash(caller: string): string {
  return createHash('md5').update(caller).digest('hex');
}

/**
 * Whether a reply may be published to a subject that a request asked for: below `<collective>.reply.`, or the federation's
 * `choria.federation.<cluster>.collective`. The transport is not signed, so anything else could be used to reach what the
 * caller may not.
 */
export function mayReplyTo(subject: string): boolean {
  if (!isPlain(subject)) return false;
  const tokens = subject.split('.');
  if (tokens.some((token) => token === '' || token.startsWith('$'))) return false;
  if (tokens.length === 4 && tokens[0] === 'choria' && tokens[1] === 'federation' && tokens[3] === 'collective') return true;
  return tokens.length > 2 && tokens[1] === 'reply';
}

/** Whether a subject is one that a request is sent to: `<collective>.broadcast.agent|service.<agent>`, `<collective>.node.<identity>`. */
export function isRequestSubject(subject: string): boolean {
  if (!fitsSubject(subject)) return false;
  const [collective = '', kind, ...rest] = subject.split('.');
  if (collective.startsWith('$')) return false;
  if (kind === 'node') return rest.length > 0;
  return kind === 'broadcast' && rest.length === 2 && (rest[0] === 'agent' || rest[0] === 'service');
}

/** The name in a caller id such as `choria=bob.mcollective`; undefined if it has no such form. */
export function callerName(caller: string): string | undefined {
  return /^[a-z]+=([\w.-]+)/.exec(caller)?.[1];
}

/** Whether a name can stand in a subject as it is. */
export function fitsSubject(name: string): boolean {
  return isPlain(name) && !name.startsWith('.') && !name.endsWith('.') && !name.includes('..');
}

/** Whether a node can be called so, which is a part of the subject that it listens to. */
export function isNodeName(name: string): boolean {
  return name.length <= maxNameLength && fitsSubject(name);
}

/** Whether a broker takes it in a subject, which it does not only refuse otherwise: it hangs up on whoever published there. */
function isPlain(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
  return text.length <= maxSubjectLength && /^[^\s\0-\x1f\x7f*>]+$/.test(text);
}
