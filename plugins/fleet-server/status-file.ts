// The state of a node as a file, for monitoring on the machine: Choria's fields, replaced in one step.

import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { NodeStatus } from '#schemas/choria/server/status';
import type { Metrics } from '../../core/sdk/typescript/index.ts';
import type { Outcomes } from './outcomes.ts';

/** What Choria writes for a time that is not known. */
const noTime = '0001-01-01T00:00:00Z';

export interface StatusParts {
  readonly identity: string;
  /** URL; undefined while there is no connection. */
  readonly server: string | undefined;
  readonly outcomes: Outcomes;
  /** Unix milliseconds. */
  readonly startedAt: number;
  readonly certificateExpires: string | null;
  readonly tokenExpires: string | null;
  readonly isProvisioning: boolean;
}

export function nodeStatus(
  { identity, server, outcomes, startedAt, certificateExpires, tokenExpires, isProvisioning }: StatusParts,
  now: number,
): NodeStatus {
  const { total, validated, unvalidated, passed, filtered, replies, ttlexpired, events } = outcomes.counters;
  return {
    identity,
    uptime: Math.floor((now - startedAt) / 1000),
    connected_server: server ?? '',
    last_message: outcomes.lastMessage,
    provisioning_mode: isProvisioning,
    stats: { total, valid: validated, invalid: unvalidated, passed, filtered, replies, ttlexpired, events },
    certificate_expires: timeOf(certificateExpires),
    token_expires: timeOf(tokenExpires),
  };
}

function timeOf(time: string | null): string {
  return time === null ? noTime : new Date(time).toISOString().replace('.000Z', 'Z');
}

/** When what the node shows to its broker ends, for monitoring. */
export async function tellEnds(
  metrics: Metrics,
  labels: Readonly<Record<string, string>>,
  ends: Readonly<Record<'certificate' | 'token', string | null>>,
): Promise<void> {
  for (const [name, time] of Object.entries(ends))
    if (time !== null)
      await metrics.set(`muster_node_${name}_expires`, Math.floor(Date.parse(time) / 1000), labels, {
        type: 'gauge',
        help: `When the ${name} of this node ends, in seconds since 1970`,
      });
}

/** Everybody may read it: it holds no secret, and checks run as other users. */
export function writeStatusFile(file: string, status: NodeStatus): void {
  const temporary = `${file}.new`;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(temporary, JSON.stringify(status), { mode: 0o644 });
  renameSync(temporary, file);
}
