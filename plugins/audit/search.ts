// Records that were kept, whatever keeps them: log files, chains, the log file of Choria's form, a stream.

import { createReadStream, existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { validate as isSignatureAudit, type SignatureAudit } from '#schemas/choria/signer/v1/signature_audit';
import { decodePayload } from '../wire/rpc.ts';
import type { JetStream } from './jetstream-api.ts';
import { rotatedFiles } from './section.ts';

/** A record as it is shown and searched. */
export interface Found {
  /** Seconds since 1970. */
  readonly time: number;
  readonly caller: string;
  /** Of a signer; a node records what it allowed. */
  readonly decision: 'allow' | 'deny' | 'unknown';
  readonly agent: string;
  readonly action: string;
  readonly sender: string;
  /** Names of nodes that the filter asks for. */
  readonly nodes: readonly string[];
  readonly id: string;
  readonly site: string | undefined;
  readonly record: object;
}

export interface Query {
  readonly user?: string | undefined;
  readonly decision?: string | undefined;
  /** `agent`, or `agent.action`. */
  readonly agent?: string | undefined;
  readonly since?: number | undefined;
  readonly until?: number | undefined;
  /** Who asked, or who was asked. */
  readonly node?: string | undefined;
}

export function fits(found: Found, { user, decision, agent, since, until, node }: Query): boolean {
  if (user !== undefined && found.caller !== user && found.caller.split('=')[1] !== user) return false;
  if (decision !== undefined && found.decision !== decision) return false;
  if (agent !== undefined && found.agent !== agent && `${found.agent}.${found.action}` !== agent) return false;
  if (since !== undefined && found.time < since) return false;
  if (until !== undefined && found.time > until) return false;
  return node === undefined || found.sender === node || found.nodes.includes(node);
}

/** Of a file with those that were put aside, the oldest first. */
export async function* searchFile(file: string, query: Query, onUnreadable: (where: string) => void): AsyncGenerator<Found> {
  const aside = rotatedFiles(file).map(({ path }) => path);
  // Numbers of log files grow with age, those of chains with time; their records tell.
  for (const path of [...aside, ...(existsSync(file) ? [file] : [])]) {
    let number = 0;
    for await (const line of createInterface({ input: createReadStream(path), crlfDelay: Number.POSITIVE_INFINITY })) {
      number += 1;
      if (line.trim() === '') continue;
      const value = parse(line);
      const found = readRecord(value);
      if (found && fits(found, query)) yield found;
      else if (!found && !isChainOnly(value)) onUnreadable(`${path}:${number}`);
    }
  }
}

export async function* searchStream(jetstream: JetStream, stream: string, query: Query): AsyncGenerator<Found> {
  for (let from = 1; ; ) {
    const message = await jetstream.read(stream, from, '>');
    if (!message) return;
    const found = readRecord(parse(message.data));
    if (found && fits(found, query)) yield found;
    from = message.seq + 1;
  }
}

function readRecord(value: unknown): Found | undefined {
  if (!isObject(value)) return undefined;
  if (isObject(value.record)) return readRecord(value.record);
  if (isSignatureAudit(value)) return fromSignature(value);
  if (value.auditor === 'logfile' && typeof value.msg === 'string') return fromChoria(value);
  return typeof value.request_id === 'string' ? fromNode(value) : undefined;
}

function fromSignature(record: SignatureAudit): Found {
  const request = typeof record.request === 'string' ? parse(record.request) : record.request;
  const { site, action: decision, time, callerid: caller } = record;
  return { ...fromRequest(isObject(request) ? request : {}), time, caller, decision, site, record };
}

function fromChoria(line: Readonly<Record<string, unknown>>): Found {
  const { caller, action, site, msg, time } = line;
  const request = parse(String(msg));
  const record = {
    protocol: 'io.choria.signer.v1.signature_audit',
    callerid: caller,
    action,
    site,
    time: secondsOf(time),
    request,
  };
  return fromSignature(record as SignatureAudit);
}

function fromNode(record: Readonly<Record<string, unknown>>): Found {
  const { request_id, request_time, caller, sender, agent, action } = record;
  const told = { caller: String(caller), sender: String(sender), agent: String(agent), action: String(action) };
  return { ...told, time: Number(request_time), decision: 'allow', nodes: [], id: String(request_id), site: undefined, record };
}

/** Of a request of either version. */
function fromRequest(request: Readonly<Record<string, unknown>>) {
  const isFirst = isObject(request.envelope);
  const envelope: Readonly<Record<string, unknown>> = isFirst && isObject(request.envelope) ? request.envelope : request;
  const { agent, filter } = envelope;
  const message = String(request.message ?? '');
  const body = parse(isFirst ? decodePayload(message) : Buffer.from(message, 'base64').toString('utf8'));
  const identities = isObject(filter) && Array.isArray(filter.identity) ? filter.identity.map(String) : [];
  return {
    agent: String(agent ?? ''),
    action: isObject(body) ? String(body.action ?? '') : '',
    sender: String((isFirst ? envelope.senderid : envelope.sender) ?? ''),
    nodes: identities,
    id: String((isFirst ? envelope.requestid : envelope.id) ?? ''),
  };
}

/** Checkpoints and notes of a chain. */
function isChainOnly(value: unknown): boolean {
  return isObject(value) && typeof value.seq === 'number' && typeof value.prev === 'string';
}

function secondsOf(time: unknown): number {
  const ms = typeof time === 'string' ? Date.parse(time) : Number(time) * 1000;
  return Number.isFinite(ms) ? Math.floor(ms / 1000) : 0;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
