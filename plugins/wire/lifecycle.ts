// Lifecycle events: CloudEvents 1.0 around Choria's event bodies.

import { randomUUID } from 'node:crypto';

export type LifecycleType = 'startup' | 'shutdown' | 'alive' | 'provisioned' | 'renewing';

export interface LifecycleEvent {
  readonly protocol: string;
  readonly id: string;
  readonly identity: string;
  readonly component: string;
  /** Unix seconds. */
  readonly timestamp: number;
  readonly version?: string;
}

export interface CloudEvent {
  readonly specversion: '1.0';
  readonly type: string;
  readonly source: 'io.choria.lifecycle';
  readonly subject: string;
  readonly id: string;
  readonly time: string;
  readonly data: LifecycleEvent;
}

export function lifecycleSubject(type: LifecycleType, component: string): string {
  return `choria.lifecycle.event.${type}.${component}`;
}

export function lifecycleEvent(
  type: LifecycleType,
  { identity, component, version, now }: { identity: string; component: string; version?: string; now: Date },
): CloudEvent {
  const id = randomUUID();
  const event: LifecycleEvent = {
    protocol: `io.choria.lifecycle.v1.${type}`,
    id,
    identity,
    component,
    timestamp: Math.floor(now.getTime() / 1000),
    ...(version !== undefined && { version }),
  };
  return {
    specversion: '1.0',
    type: event.protocol,
    source: 'io.choria.lifecycle',
    subject: identity,
    id,
    time: now.toISOString(),
    data: event,
  };
}

/** When it happened by the clock of whoever tells, in words; undefined if that is no time. */
export function timeOfEvent({ timestamp }: LifecycleEvent): string | undefined {
  const date = new Date(typeof timestamp === 'number' ? timestamp * 1000 : Number.NaN);
  return Number.isNaN(date.getTime()) ? undefined : date.toISOString();
}

/** The event in a message, in either form; undefined if it is none. */
export function readLifecycleEvent(text: string): { type: string; event: LifecycleEvent } | undefined {
  try {
    const value = JSON.parse(text) as { data?: LifecycleEvent } & LifecycleEvent;
    const event = value.data ?? value;
    const type = /^io\.choria\.lifecycle\.v1\.(\w+)$|^choria:lifecycle:(\w+):1$/.exec(event.protocol);
    return type && typeof event.identity === 'string' && typeof event.id === 'string'
      ? { type: type[1] ?? type[2] ?? '', event }
      : undefined;
  } catch {
    return undefined;
  }
}
