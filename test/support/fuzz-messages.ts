// Every kind of message that a fleet takes, as it is when it is right, and what becomes of it under the dice. A layer is chosen
// and damaged; the layers around it are made anew, and mostly signed or hashed again, so that the damage is looked at.

import { createHash } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { Dice } from './fuzz-dice.ts';
import { edgeTexts, mutate, mutateBase64, mutateBytes, mutateJsonText, mutateText } from './fuzz-mutate.ts';
import type { Crafter } from './messages.ts';

export const busKinds = ['request', 'ping', 'federated', 'registration', 'lifecycle', 'namesake'] as const;
export const kinds = [...busKinds, 'reply', 'pong', 'federated reply', 'line'] as const;
export type Kind = (typeof kinds)[number];

export interface FuzzParts {
  readonly seed: number;
  /** Whose requests are taken, and whose registrations. */
  readonly caller: Crafter;
  readonly member: Crafter;
  /** The node that is asked, and the one that answers. */
  /** Of another message. */
  readonly otherSignature: string;
  readonly target: string;
  readonly answerer: string;
}

const expressions = [
  'with("role::web") and semver(fact("version"), "< 6.1")',
  'any(classes, {# matches "^role"}) or fact("cpus") in 1..8',
  'filter(agents, # startsWith "rpc")[0] == "rpcutil" ? true : false',
  'let a = [1, 2, 3]; sum(map(a, # * 2)) > 3',
  'choria().agents_count > 1 && config_item("identity").present',
  'now() - duration("1h") < date("2030-01-01") and "a" + "b" == `ab`',
  'reduce(split(fact("name"), ""), #acc + 1, 0) >= 0 and (1 | toJSON()) == "1"',
];
const tokens = [
  '(',
  ')',
  '[',
  ']',
  '{',
  '}',
  '#',
  '.',
  '"',
  '\\',
  ' and ',
  ' not ',
  '..',
  '?',
  ':',
  '1e9',
  '0x',
  '|',
  'matches',
  'nil',
];
const filters = [
  { fact: 'site', operator: '==', value: 'here' },
  { fact: 'name', operator: '=~', value: '/(a+)+$/' },
  { fact: 'cpus', operator: '>=', value: '4' },
  { fact: 'disks.#(size>1).name', operator: '!=', value: 'sda' },
  { fact: 'disks|@reverse|0', operator: '<', value: '1.5' },
];

/** The bytes of message number `index`, for the request `id` if it is a reply. The same ones each time. */
export function fuzzed(parts: FuzzParts, kind: Kind, index: number, id = 'f'.repeat(32)): Uint8Array {
  const dice = new Dice(parts.seed, index);
  if (kind === 'lifecycle' || kind === 'namesake' || kind === 'line')
    return bytesOf(kind === 'line' ? line(dice) : lifecycle(parts, dice, kind), dice, spareOf(parts));
  if (kind === 'reply' || kind === 'pong' || kind === 'federated reply') return reply(parts, kind, dice, id);
  return request(parts, kind, dice);
}

const requestLayers = [
  'body',
  'body',
  'filter',
  'filter',
  'request',
  'request',
  'secure',
  'transport',
  'base64',
  'bytes',
] as const;

function request(parts: FuzzParts, kind: Kind, dice: Dice): Uint8Array {
  const spare = spareOf(parts);
  const layer = dice.pick(requestLayers);
  const signer = kind === 'registration' ? parts.member : parts.caller;
  const id = dice.hex(32);
  const { agent, body } = bodyOf(kind, dice, layer === 'body', spare);
  const right = {
    protocol: 'choria:request:1',
    message: body,
    envelope: {
      requestid: id,
      senderid: signer.caller.slice('choria='.length),
      callerid: signer.caller,
      collective: 'mcollective',
      agent,
      ttl: 60,
      time: Math.floor(Date.now() / 1000),
      filter: filterOf(dice, layer === 'filter', spare),
    },
  };
  const message = textOf(layer === 'request' ? mutate(right, dice, spare) : right, dice, layer === 'request');
  // To sign takes most of the time, so it is done where something depends on it.
  const isLookedAt = ['body', 'filter', 'request'].includes(layer) && dice.chance(0.35);
  const secure = {
    protocol: 'choria:secure:request:1',
    message,
    signature: isLookedAt ? signer.sign(message) : parts.otherSignature,
    pubcert: signer.certificate,
  };
  const headers = {
    'reply-to': `mcollective.reply.fuzz.${id}`,
    mc_sender: right.envelope.senderid,
    'seen-by': [['nats://broker.test', right.envelope.senderid, 'nats://broker.test']],
    ...(kind === 'federated' && {
      federation: { req: id, 'reply-to': `mcollective.reply.fuzz.${id}`, target: [`mcollective.node.${parts.target}`] },
    }),
  };
  return transport(secure, headers, layer, dice, spare);
}

function bodyOf(kind: Kind, dice: Dice, damaged: boolean, spare: readonly unknown[]): { agent: string; body: string } {
  if (kind === 'ping') return { agent: 'discovery', body: damaged ? mutateText('cGluZw==', dice) : 'cGluZw==' };
  if (kind === 'registration') return { agent: 'registration', body: registration(dice, damaged, spare) };
  const bodies = [
    { agent: 'rpcutil', action: 'ping', data: {} },
    { agent: 'rpcutil', action: 'get_fact', data: { fact: 'disks.#(size>1).name' } },
    { agent: 'rpcutil', action: 'get_facts', data: { facts: 'site, name,cpus' } },
    { agent: 'rpcutil', action: 'get_data', data: { source: 'config_item', query: 'identity' } },
    { agent: 'muster', action: 'why', data: { requestid: 'a'.repeat(32) } },
    { agent: 'choria_util', action: 'machine_state', data: { name: 'x', instance: 'y', path: '/z' } },
  ];
  const chosen = dice.pick(bodies);
  const body = textOf(damaged ? mutate(chosen, dice, spare) : chosen, dice, damaged);
  return { agent: chosen.agent, body: dice.chance(0.5) ? Buffer.from(body).toString('base64') : body };
}

function registration(dice: Dice, damaged: boolean, spare: readonly unknown[]): string {
  const right = {
    agents: [{ name: 'rpcutil', version: '1.0.0' }],
    classes: ['role::web'],
    facts: { site: 'here', cpus: 4 },
    status: { identity: 'member.test', stats: { total: 1 } },
    collectives: ['mcollective'],
    build_info: { version: '1.0.0', sha: '' },
    machines: [],
  };
  const content = damaged ? mutate(right, dice, spare) : right;
  const protocol = 'choria:registration:inventorycontent:1';
  if (dice.chance(0.5)) return JSON.stringify({ protocol, content });
  const zipped = gzipSync(JSON.stringify(content) ?? '').toString('base64');
  return JSON.stringify({ protocol, zcontent: dice.chance(0.3) ? mutateBase64(zipped, dice) : zipped });
}

function filterOf(dice: Dice, damaged: boolean, spare: readonly unknown[]): unknown {
  const some = <T>(items: readonly T[]): T[] => (dice.chance(0.4) ? [dice.pick(items)] : []);
  const right = {
    fact: some(filters),
    cf_class: some(['role::web', '/^role/', '/(a+)+$/']),
    agent: some(['rpcutil', '/./']),
    identity: some(['/./', 'fuzz.test']),
    compound: some([[{ expr: damaged && dice.chance(0.6) ? expression(dice) : dice.pick(expressions) }]]),
  };
  return damaged && dice.chance(0.5) ? mutate(right, dice, spare) : right;
}

/** Words of an expression put in, left out or doubled. */
function expression(dice: Dice): string {
  let source = dice.pick(expressions);
  for (let round = 1 + dice.below(4); round > 0; round -= 1) {
    const at = dice.below(source.length + 1);
    if (dice.chance(0.5)) source = source.slice(0, at) + dice.pick(tokens) + source.slice(at);
    else source = dice.chance(0.5) ? mutateText(source, dice) : source.slice(0, at) + dice.pick(expressions) + source.slice(at);
  }
  return source;
}

const replyLayers = ['body', 'body', 'body', 'reply', 'secure', 'transport', 'base64', 'bytes'] as const;

function reply(parts: FuzzParts, kind: Kind, dice: Dice, id: string): Uint8Array {
  const spare = spareOf(parts);
  const layer = dice.pick(replyLayers);
  const data = { cpus: 4, load: 0.5, site: 'here', text: 'two\nlines', list: [1, 'a', { b: null }], deep: { a: { b: [1] } } };
  const body = { action: 'act', statuscode: dice.pick([0, 0, 1, 5]), statusmsg: 'OK', data };
  const damaged = layer === 'body';
  const right = {
    protocol: 'choria:reply:1',
    message: kind === 'pong' ? 'pong' : textOf(damaged ? mutate(body, dice, spare) : body, dice, damaged),
    envelope: {
      requestid: id,
      senderid: parts.answerer,
      agent: kind === 'pong' ? 'discovery' : 'act',
      time: Math.floor(Date.now() / 1000),
    },
  };
  const message = textOf(layer === 'reply' ? mutate(right, dice, spare) : right, dice, layer === 'reply');
  const hash = createHash('sha256').update(message).digest('base64');
  const secure = { protocol: 'choria:secure:reply:1', message, hash: dice.chance(0.9) ? hash : mutateBase64(hash, dice) };
  const headers = {
    mc_sender: parts.answerer,
    ...(kind === 'federated reply' && {
      'seen-by': [['a', 'b', 'c']],
      federation: { req: id, 'reply-to': `mcollective.reply.fuzz.${id}` },
    }),
  };
  return transport(secure, headers, layer, dice, spare);
}

function transport(secure: object, headers: object, layer: string, dice: Dice, spare: readonly unknown[]): Uint8Array {
  const secureText = textOf(layer === 'secure' ? mutate(secure, dice, spare) : secure, dice, layer === 'secure');
  const data = Buffer.from(secureText).toString('base64');
  const right = { protocol: 'choria:transport:1', data: layer === 'base64' ? mutateBase64(data, dice) : data, headers };
  const bytes = Buffer.from(textOf(layer === 'transport' ? mutate(right, dice, spare) : right, dice, layer === 'transport'));
  return layer === 'bytes' ? mutateBytes(bytes, dice) : bytes;
}

function lifecycle({ target }: FuzzParts, dice: Dice, kind: Kind): unknown {
  const type = dice.pick(['startup', 'alive', 'shutdown']);
  const identity = kind === 'namesake' ? target : `fuzz${dice.below(50)}.test`;
  const id = dice.hex(32);
  const data = {
    protocol: dice.chance(0.8) ? `io.choria.lifecycle.v1.${type}` : `choria:lifecycle:${type}:1`,
    id,
    identity,
    component: 'server',
    timestamp: Math.floor(Date.now() / 1000),
    version: '1.0.0',
  };
  if (dice.chance(0.3)) return data;
  const source = 'io.choria.lifecycle';
  return { specversion: '1.0', type: data.protocol, source, subject: identity, id, time: new Date().toISOString(), data };
}

/** What a plugin and its host say to each other. */
function line(dice: Dice): unknown {
  return dice.pick([
    {
      jsonrpc: '2.0',
      id: dice.below(9),
      method: 'echo/echo',
      params: { text: 'x' },
      _meta: { deadlineMs: 1_000, depth: 1, trace: 'a' },
    },
    { jsonrpc: '2.0', id: `p${dice.below(9)}`, method: 'bus/publish', params: { subject: 'a', payload: 'AAAA' } },
    { jsonrpc: '2.0', id: dice.below(9), result: { text: 'x' } },
    { jsonrpc: '2.0', id: dice.below(9), error: { code: -32_000, message: 'no', data: { retryAfterMs: 5 } } },
    { jsonrpc: '2.0', method: '$/cancel', params: { id: dice.below(9) } },
    { jsonrpc: '2.0', method: '$/progress', params: { id: dice.below(9), value: [1] } },
  ]);
}

function bytesOf(right: unknown, dice: Dice, spare: readonly unknown[]): Uint8Array {
  const bytes = Buffer.from(textOf(mutate(right, dice, spare), dice, true));
  return dice.chance(0.1) ? mutateBytes(bytes, dice) : bytes;
}

/** JSON, unless the damage left nothing that is any. */
function textOf(value: unknown, dice: Dice, damaged: boolean): string {
  const text = JSON.stringify(value) ?? 'null';
  return damaged && dice.chance(0.15) ? mutateJsonText(text, dice) : text;
}

/** Values of all kinds, to stand where they should not. */
function spareOf({ target, caller }: FuzzParts): readonly unknown[] {
  return [
    ...edgeTexts,
    ...filters,
    ...expressions,
    target,
    caller.caller,
    'rpcutil',
    'discovery',
    [[{ expr: expressions[0] }]],
    [[]],
    60,
  ];
}
