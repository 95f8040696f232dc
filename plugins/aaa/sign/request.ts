// The request that is to be signed: read, held together with its body, and written with the caller that the token names.
// What comes out is built from the fields that were looked at, so that nothing else travels under the signature.

import { WireError } from '../../wire/errors.ts';
import { emptyFilter, type Filter } from '../../wire/filter.ts';
import { parseJson } from '../../wire/message-parts.ts';
import { decodePayload, type RpcRequest, readRpcRequest } from '../../wire/rpc.ts';
import * as v1 from '../../wire/v1/messages.ts';
import * as v2 from '../../wire/v2/messages.ts';
import { Refusal } from './refusal.ts';

export interface InnerRequest {
  readonly version: 1 | 2;
  readonly fields: v1.RequestFields;
}

/** What is asked of an agent; undefined for discovery, which no policy is about. */
export type Asked = RpcRequest | undefined;

/** How far clocks may be apart besides the life of a request, in seconds. */
const skewSeconds = 5;
const discovery = 'discovery';
const mostOfName = 256;

/** @throws Refusal `SIGNER_REQUEST` */
export function readInner(text: string): InnerRequest {
  try {
    const value = parseJson(text, 'request');
    const protocol = typeof value === 'object' && value !== null && 'protocol' in value ? value.protocol : undefined;
    if (protocol === v1.protocols.request) return { version: 1, fields: v1.requestFields(value) };
    if (protocol === v2.protocols.request) return { version: 2, fields: v2.requestFields(value) };
    throw new WireError('WIRE_VERSION', `it is of protocol ${JSON.stringify(protocol)?.slice(0, 60) ?? 'none'}`);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    // The message may show a piece of what was sent.
    const what = error.code === 'WIRE_NOT_JSON' ? 'it is not JSON' : error.message;
    throw new Refusal('SIGNER_REQUEST', `the request can not be read: ${what}`);
  }
}

/**
 * What the request asks for, as nodes will read it.
 * @throws Refusal `SIGNER_SHAPE` for a body that is none, is for another agent, or can be read in two ways
 */
export function readAsked({ version, fields }: InnerRequest): Asked {
  const { agent } = fields;
  if (agent === discovery) return undefined;
  const body = version === 1 ? decodePayload(fields.body) : fields.body;
  let rpc: RpcRequest;
  try {
    rpc = readRpcRequest(body);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    throw new Refusal('SIGNER_SHAPE', `the body of a request for ${printed(agent)} is no RPC request`, { cause: error });
  }
  if (rpc.agent !== agent)
    throw new Refusal(
      'SIGNER_SHAPE',
      `the request is for the agent ${printed(agent)}, its body for ${printed(rpc.agent) || 'none'}`,
    );
  const twice = ambiguousKey(body);
  if (twice !== undefined) throw new Refusal('SIGNER_SHAPE', `the body of the request says '${printed(twice)}' twice`);
  return rpc;
}

/** A request that is dated so that it could be used later, or for long, is not signed. @throws Refusal `SIGNER_TIME` */
export function checkTime({ time, ttl }: v1.RequestFields, nowMs: number, maxTtlSeconds: number): void {
  if (ttl > maxTtlSeconds)
    throw new Refusal('SIGNER_TIME', `the request would live for ${ttl} s; max_ttl allows ${maxTtlSeconds} s`);
  const off = time - nowMs / 1000;
  if (Math.abs(off) > ttl + skewSeconds)
    throw new Refusal(
      'SIGNER_TIME',
      `the request is dated ${Math.round(Math.abs(off))} s ${off > 0 ? 'ahead' : 'ago'} and lives for ${ttl} s; compare the clocks`,
    );
}

/** Until when it could be used, in milliseconds since 1970. */
export function endOfLife({ time, ttl }: v1.RequestFields): number {
  return (time + ttl + skewSeconds) * 1000;
}

/** The request with another caller, of the fields that are known and nothing else; its JSON is what is signed. */
export function withCaller({ version, fields }: InnerRequest, caller: string): object {
  const known = { ...fields, caller, filter: knownFilter(fields.filter) };
  return version === 1 ? v1.requestDocument(known) : v2.requestDocument(known);
}

/** For the record of what anybody may have sent: so much that it can be told apart, and not what fills a disk. */
export function cutDown({ version, fields }: InnerRequest): InnerRequest {
  const { id, sender, caller, collective, agent, ttl, time, body } = fields;
  return {
    version,
    fields: {
      id: cut(id),
      sender: cut(sender),
      caller: cut(caller),
      collective: cut(collective),
      agent: cut(agent),
      ttl,
      time,
      filter: emptyFilter,
      body: `(${body.length} characters)`,
    },
  };
}

function knownFilter({ fact, cf_class, agent, identity, compound }: Filter): Filter {
  return {
    fact: fact.map(({ fact: name, operator, value }) => ({ fact: name, operator, value })),
    cf_class,
    ...(agent && { agent }),
    identity,
    compound: compound.map((entry) => entry.map(({ expr }) => (expr === undefined ? {} : { expr }))),
  };
}

/**
 * A key of the body or of its data that is there twice, in whatever case: nodes in other languages take keys without regard
 * to case, and the last of several, so that they would do something else than what was authorized.
 */
function ambiguousKey(json: string): string | undefined {
  const seen = new Map<string, Map<string, string>>();
  for (const { key, within } of keysOf(json)) {
    const folded = key.toLowerCase().replaceAll('\u017f', 's').replaceAll('\u212a', 'k');
    const others = seen.get(within) ?? new Map<string, string>();
    if (others.has(folded)) return key;
    seen.set(within, others.set(folded, key));
  }
  // One key alone in another case would be read by them, and not by us.
  const outer = seen.get('');
  return ['agent', 'action', 'data', 'caller'].find((name) => (outer?.get(name) ?? name) !== name);
}

/** The keys of an object and of those directly within it, with the key that these stand under. */
function* keysOf(json: string): Generator<{ readonly key: string; readonly within: string }> {
  // A string, or what opens, closes, and parts.
  const tokens = /"(?:[^"\\]|\\.)*"|[{}[\]:,]/gs;
  let depth = 0;
  let last = '';
  let outer = '';
  for (const [token] of json.matchAll(tokens)) {
    if (token === '{' || token === '[') depth += 1;
    else if (token === '}' || token === ']') depth -= 1;
    else if (token === ':' && depth === 1) {
      outer = JSON.parse(last) as string;
      yield { key: outer, within: '' };
    } else if (token === ':' && depth === 2) yield { key: JSON.parse(last) as string, within: `.${outer}` };
    else last = token;
  }
}

function cut(text: string): string {
  return text.slice(0, mostOfName);
}

function printed(text: string): string {
  return text.slice(0, 60);
}
