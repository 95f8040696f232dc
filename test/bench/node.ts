// One node: requests a second against the bare work of a node, memory with all its bundles, time to its first answer.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { distributionRoot } from '../../core/host/distribution.ts';
import { issueFiles } from '../../plugins/overlay/ca.ts';
import { Fleet } from '../support/fleet.ts';
import { median, report } from './report.ts';
import { Load } from './requests.ts';

const rounds = 5;
const perRound = 4_000;
const restMs = 15_000;
const identity = 'bench.test';
const bareIdentity = 'bare.test';

export async function run(): Promise<void> {
  const fleet = await Fleet.start();
  const children: ChildProcess[] = [];
  try {
    const load = await Load.open(fleet);
    const started = performance.now();
    const node = await startNode(fleet, children);
    await firstAnswer(load);
    const firstAnswerMs = performance.now() - started;
    const fresh = residentMb(node.pid ?? 0);
    await startFloor(fleet, children);
    const rates: { bare: number[]; node: number[] } = { bare: [], node: [] };
    await load.send(load.sign(1_000), identity);
    await load.send(load.sign(1_000), bareIdentity);
    for (let round = 0; round < rounds; round += 1) {
      rates.bare.push(await load.send(load.sign(perRound), bareIdentity));
      rates.node.push(await load.send(load.sign(perRound), identity));
    }
    const loaded = residentMb(node.pid ?? 0);
    await new Promise((resolve) => setTimeout(resolve, restMs));
    const memory = residentMb(node.pid ?? 0);
    const ratio = median(rates.node) / median(rates.bare);
    report(
      'node',
      `${rounds} rounds of ${perRound} requests (rpcutil#ping), 256 in flight, policies on, Node ${process.version}`,
      [
        { what: 'NATS, open, seal (floor)', median: median(rates.bare), unit: 'requests/s' },
        { what: 'a node', median: median(rates.node), unit: 'requests/s', ratio, bound: '≥ 0.5', met: ratio >= 0.5 },
        { what: 'resident memory when it answers first', median: fresh, unit: 'MB', bound: '≤ 110', met: fresh <= 110 },
        { what: 'resident memory at the end of the load', median: loaded, unit: 'MB' },
        { what: `resident memory ${restMs / 1000} s later`, median: memory, unit: 'MB', bound: '≤ 110', met: memory <= 110 },
        { what: 'start to first answer', median: firstAnswerMs, unit: 'ms' },
      ],
    );
  } finally {
    for (const child of children) child.kill('SIGTERM');
    await Promise.all(children.filter(({ exitCode }) => exitCode === null).map((child) => once(child, 'exit')));
    await fleet.stop();
  }
}

async function startNode(fleet: Fleet, children: ChildProcess[]): Promise<ChildProcess> {
  const folder = join(fleet.folder, 'bench');
  mkdirSync(join(folder, 'policies'), { recursive: true });
  writeFileSync(join(folder, 'policies/rpcutil.policy'), 'policy default deny\nallow\tchoria=operator.mcollective\t*\t*\t*\n');
  writeFileSync(join(folder, 'facts.json'), JSON.stringify({ os: { family: 'Debian' } }));
  const values = {
    ...(await fleet.certificate(identity)),
    identity,
    'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
    'plugin.yaml': join(folder, 'facts.json'),
    'plugin.muster.state': join(folder, 'state'),
    logfile: join(folder, 'log'),
    loglevel: 'error',
  };
  const file = join(folder, 'server.conf');
  writeFileSync(
    file,
    Object.entries(values)
      .map(([key, value]) => `${key} = ${value}\n`)
      .join(''),
  );
  const child = spawn(join(distributionRoot(), '../core/cli/muster.mjs'), ['run', 'server', '--config', file], {
    stdio: 'inherit',
  });
  children.push(child);
  return child;
}

async function firstAnswer(load: Load): Promise<void> {
  for (;;) {
    const answered = await Promise.race([
      load.send(load.sign(1), identity).then(() => true),
      new Promise<false>((resolve) => setTimeout(() => resolve(false), 50)),
    ]);
    if (answered) return;
  }
}

async function startFloor(fleet: Fleet, children: ChildProcess[]): Promise<void> {
  const { cert, key, ca } = await issueFiles(fleet.authority, { commonName: bareIdentity });
  const script = fileURLToPath(new URL('./floor/responder.mjs', import.meta.url));
  const child = spawn(process.execPath, [script, String(fleet.port), cert, key, ca, bareIdentity], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  children.push(child);
  await once(child.stdout as NodeJS.ReadableStream, 'data');
}

function residentMb(pid: number): number {
  const [, kilobytes = '0'] = /VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? [];
  return Number(kilobytes) / 1024;
}
