// Two thousand whole nodes that enrol themselves at once: everybody gets a certificate, nobody two, and the provisioner stays small.
// `provisioner-herd.full.test.ts` has twenty thousand, which are hardly more than their messages.

import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { EnrollingCell } from '../support/enrolling-cell.ts';
import { until } from '../support/folders.ts';

const nodes = 2_000;
const processes = 2;
const minutes = 60_000;
const mostMemoryMb = 512;
let cell: EnrollingCell;

beforeAll(async () => {
  cell = await EnrollingCell.start();
}, minutes);
afterAll(() => cell.stop(), minutes);

test(
  `${nodes} nodes are enrolled, none twice`,
  async () => {
    const configured = new Map<string, number>();
    const up = new Set<string>();
    const others: string[] = [];
    const watched = await cell.watch({
      onStep: (identity, step) => {
        if (step === 'configured') configured.set(identity, (configured.get(identity) ?? 0) + 1);
        if (['failed', 'refused'].includes(step)) others.push(`${identity} ${step}`);
      },
      onUp: (identity) => up.add(identity),
    });
    const provisioner = cell.provisioner('provisioner');
    cell.emulate(nodes, processes, 'n');
    await until('all of them are up', () => up.size === nodes, 20 * minutes);
    // What is told on the other network may be heard later.
    await until('all steps are heard', () => configured.size === nodes);
    expect([...configured].filter(([, times]) => times > 1)).toEqual([]);
    // A certificate that nobody got would have been withdrawn; each node has one that counts.
    const register = readFileSync(`${cell.folder}/authority/nodes/issued.jsonl`, 'utf8').trimEnd().split('\n');
    const events = register.map((line) => JSON.parse(line) as { event: string });
    const issued = events.filter(({ event }) => event === 'issued').length;
    const revoked = events.filter(({ event }) => event === 'revoked').length;
    expect({ inUse: issued - revoked, failures: others.length }).toEqual({ inUse: nodes, failures: issued - nodes });
    expect(peakMemoryMb(provisioner.pid)).toBeLessThan(mostMemoryMb);
    await watched.close();
  },
  25 * minutes,
);

function peakMemoryMb(pid: number | undefined): number {
  const [, kilobytes = 'unknown'] = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) / 1024;
}
