// What the registry keeps of a node, and how it changes by what the node says. Pure functions: the same message twice changes
// nothing more, and an older one does not undo a newer.

import { type NodeRecord, validate } from '#schemas/muster/registry/v1/node';
import type { LifecycleEvent } from '../wire/lifecycle.ts';
import type { NodeDocument } from '../wire/registration.ts';

export type { NodeRecord };

export const bucketName = 'MUSTER_NODES';
export const connection = 'registry';

/** A sign of life that is written so soon after the end was on its way before it: two registries may share the messages. */
const overtakenSeconds = 60;

/** A key of a bucket is words joined by dots, as names of hosts are. */
export function isKey(identity: string): boolean {
  return identity.length <= 253 && /^[-/=\w]+(\.[-/=\w]+)*$/.test(identity);
}

/** The record in a value of the bucket; undefined for what somebody else put there. */
export function readRecord(value: Uint8Array): NodeRecord | undefined {
  try {
    const record: unknown = JSON.parse(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8'));
    return validate(record) ? record : undefined;
  } catch {
    return undefined;
  }
}

/** @throws TypeError if what a node told makes no record */
export function recordBytes(record: NodeRecord): Uint8Array {
  if (!validate(record)) throw new TypeError(`${validate.errors?.[0]?.instancePath.slice(1)} ${validate.errors?.[0]?.message}`);
  return Buffer.from(JSON.stringify(record));
}

/** After an event of its life; undefined if the event changes nothing. */
export function afterEvent(
  before: NodeRecord | undefined,
  type: string,
  { identity, timestamp, version }: LifecycleEvent,
  seen: number,
): NodeRecord | undefined {
  const known = { ...before, identity, seen, ...(version !== undefined && { version }) };
  switch (type) {
    case 'startup': {
      // One that came late, after the end of that life.
      if (before?.stopped !== undefined && timestamp < before.stopped) return undefined;
      const { stopped: _over, ...others } = known;
      return { ...others, state: 'present', started: timestamp };
    }
    case 'alive':
      // Its time is that of the start, so only its arrival tells something.
      if (before?.state === 'stopped' && seen - before.seen < overtakenSeconds) return undefined;
      return { ...known, state: 'present' };
    case 'shutdown':
      if (before?.started !== undefined && timestamp < before.started) return undefined;
      return { ...known, state: 'stopped', stopped: timestamp };
    default:
      return undefined;
  }
}

/** After it told of itself at a time of its own clock; undefined if it told more since. */
export function afterRegistration(
  before: NodeRecord | undefined,
  identity: string,
  { agents, classes = [], facts = {}, collectives = [], build_info: build }: Partial<NodeDocument>,
  time: number,
  seen: number,
): NodeRecord | undefined {
  if (before?.registered !== undefined && time < before.registered) return undefined;
  const over = before?.stopped !== undefined && time <= before.stopped;
  const names = (agents ?? []).map((agent) => (agent as { name?: unknown }).name).filter((name) => typeof name === 'string');
  const version = build?.version ?? before?.version;
  const { stopped, ...others } = before ?? {};
  return {
    ...others,
    identity,
    state: over ? 'stopped' : 'present',
    seen,
    ...(over && stopped !== undefined && { stopped }),
    ...(version !== undefined && { version }),
    registered: time,
    collectives: [...collectives],
    // Every node has it, and tells of it nowhere.
    agents: [...new Set(['discovery', ...names])],
    classes: [...classes],
    facts,
  };
}

export type KnownState = 'present' | 'silent' | 'stopped';

/** Whether a node counts as there: it did not say that it stops, and was heard of within the limit. */
export function stateOf({ state, seen }: NodeRecord, now: number, silentAfter: number): KnownState {
  if (state === 'stopped') return 'stopped';
  return now - seen > silentAfter ? 'silent' : 'present';
}
