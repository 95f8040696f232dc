// Machines that enrol themselves, all at once: from the first event to the last one that is up in its fleet, against bare
// connections, signatures and messages. A broker, a provisioner, and processes of emulated nodes with a prepared key.

import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { NatsConnection } from 'nats';
import { EnrollingCell } from '../support/enrolling-cell.ts';
import { median, type Row, report } from './report.ts';

const processes = 2;
const wantedPerMinute = 5_000;
const oneshotNodes = 300;
const workersOfFloor = 64;
/** About what a request of the provisioner and a certificate request on its way have. */
const [requestBytes, replyBytes] = [2_000, 2_500];
const requestsForEach = 5;
const patienceMs = 1_800_000;
const steps = ['token', 'csr', 'signed', 'configured', 'up'];

export async function run(args: readonly string[]): Promise<void> {
  const given = args[args.indexOf('--nodes') + 1];
  const nodes = args.includes('--nodes') && given ? Number(given) : 2_000;
  const cell = await EnrollingCell.start();
  try {
    const bare = await measureFloor(cell, nodes);
    const light = await measureOurs(cell, 'light', nodes, lightNodes);
    const whole = await measureOurs(cell, 'whole', nodes, wholeNodes);
    const few = Math.min(nodes, oneshotNodes);
    layOut(join(cell.folder, 'authority/nodes'), join(cell.folder, 'openssl-ca'));
    const shell = await measureOurs(cell, 'shell', few, wholeNodes, [
      'plugin.provisioner.hook = openssl-ca',
      `plugin.muster.openssl_ca.folder = ${join(cell.folder, 'openssl-ca')}`,
    ]);
    report('provisioning', `${nodes} nodes in ${processes} processes, one broker, Node ${process.version}`, [
      { what: `${nodes} bare connections, signatures, messages (floor)`, median: bare, unit: 's' },
      ...rowsOf(`${nodes} nodes of little more than messages, built-in CA`, nodes, light, bare),
      ...rowsOf(`${nodes} whole nodes on the same two cores, built-in CA`, nodes, whole, bare),
      {
        what: `${few} whole nodes, openssl-ca: a shell script for each`,
        median: perMinute(few, shell.seconds),
        unit: 'nodes/min',
      },
    ]);
  } finally {
    await cell.stop();
  }
}

interface Measured {
  readonly seconds: number;
  /** Milliseconds of each step of each node, by its name. */
  readonly steps: ReadonlyMap<string, readonly number[]>;
}

function rowsOf(what: string, nodes: number, { seconds, steps: taken }: Measured, bare: number): Row[] {
  const rate = perMinute(nodes, seconds);
  const bound = { bound: `≥ ${wantedPerMinute.toLocaleString('en')}`, met: rate >= wantedPerMinute };
  return [
    { what, median: rate, unit: 'nodes/min', ratio: seconds / bare, ...bound },
    ...[...taken].map(([step, ms]) => ({ what: `  to ${step}, from the step before`, median: median(ms), unit: 'ms' })),
  ];
}

function perMinute(nodes: number, seconds: number): number {
  return (nodes / seconds) * 60;
}

type Nodes = (cell: EnrollingCell, nodes: number, prefix: string) => ChildProcess[];

const wholeNodes: Nodes = (cell, nodes, prefix) => [cell.emulate(nodes, Math.min(processes, nodes), prefix)];

const lightNodes: Nodes = (cell, nodes) => {
  const { secrets, files, folder } = cell;
  const program = fileURLToPath(new URL('./waiting-nodes.js', import.meta.url));
  const shown = [secrets.nodePassword, join(folder, 'provisioning.jwt'), files.cert, files.key, files.ca];
  return spread(cell, program, shown, nodes);
};

/** So many nodes over a few processes of a program. */
function spread({ ports }: EnrollingCell, program: string, args: readonly string[], nodes: number): ChildProcess[] {
  const share = Math.ceil(nodes / processes);
  const servers = [ports.provisioning, ports.fleet].map((port) => `nats://127.0.0.1:${port}`);
  return Array.from({ length: processes }, (_, index) => {
    const own = [String(index * share), String(Math.min(share, nodes - index * share))];
    return spawn(process.execPath, [program, ...servers, ...args, ...own], { stdio: ['ignore', 'ignore', 'inherit'] });
  });
}

/** A provisioner and its nodes, until the last of them is up. */
async function measureOurs(
  cell: EnrollingCell,
  name: string,
  nodes: number,
  startNodes: Nodes,
  lines: readonly string[] = [],
): Promise<Measured> {
  const taken = new Map<string, number[]>(steps.map((step) => [step, []]));
  const up = new Set<string>();
  let wake: () => void = () => undefined;
  const all = new Promise<void>((resolve, reject) => {
    wake = resolve;
    setTimeout(() => reject(new Error(`${up.size} of ${nodes} nodes are up`)), patienceMs).unref();
  });
  const watched = await cell.watch({
    onStep: (_identity, step, ms) => taken.get(step)?.push(ms),
    onUp: (identity) => {
      up.add(identity);
      if (up.size === nodes) wake();
    },
  });
  const provisioner = cell.provisioner(`provisioner-${name}`, lines);
  const started = startNodes(cell, nodes, `${name}-`);
  try {
    await all;
    return { seconds: (performance.now() - watched.begun()) / 1000, steps: taken };
  } finally {
    await watched.close();
    await cell.end(...started, provisioner);
  }
}

/** The authority of the nodes as openssl-ca keeps one, so that the broker trusts what it signs. */
function layOut(authority: string, folder: string): void {
  cpSync(authority, folder, { recursive: true });
  writeFileSync(join(folder, 'index.txt'), '');
  writeFileSync(join(folder, 'crlnumber'), '1000\n');
}

async function measureFloor(cell: EnrollingCell, nodes: number): Promise<number> {
  const { secrets, files } = cell;
  const { provisioning, fleet, close } = await cell.connections();
  const program = fileURLToPath(new URL('./floor/provisioning.mjs', import.meta.url));
  const shown = [secrets.nodePassword, files.cert, files.key, files.ca, String(replyBytes)];
  let children: ChildProcess[] = [];
  try {
    const seconds = enrolBare(provisioning, fleet, nodes, files.key);
    children = spread(cell, program, shown, nodes);
    return await seconds;
  } finally {
    await close();
    await cell.end(...children);
  }
}

/** What a provisioner can't do without: five signed requests for each node, a request verified, a certificate signed. */
async function enrolBare(before: NatsConnection, after: NatsConnection, nodes: number, keyFile: string): Promise<number> {
  const key = createPrivateKey(readFileSync(keyFile));
  const authority = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  const [request, csr] = [Buffer.alloc(requestBytes, 'x'), Buffer.alloc(replyBytes, 'x')];
  const signature = sign('sha256', csr, key);
  const publicKey = createPublicKey(key);
  const waiting: string[] = [];
  let [begun, busy] = [0, 0];
  const enrol = async (name: string) => {
    for (let number = 0; number < requestsForEach; number += 1) {
      sign('sha256', request, key);
      const { data } = await before.request(`provisioning.node.${name}`, request, { timeout: 60_000 });
      createHash('sha256').update(data).digest();
      if (number === 2) certify(csr, signature, publicKey, authority);
    }
  };
  const pump = (): void => {
    while (busy < workersOfFloor && waiting.length > 0) {
      busy += 1;
      void enrol(waiting.shift() ?? '').finally(() => {
        busy -= 1;
        pump();
      });
    }
  };
  before.subscribe('choria.lifecycle.event.startup.provision_mode_server', {
    callback: (_error, message) => {
      begun ||= performance.now();
      waiting.push(message.string());
      pump();
    },
  });
  let left = nodes;
  return new Promise((resolve) => {
    after.subscribe('choria.lifecycle.event.startup.server', {
      callback: () => {
        left -= 1;
        if (left === 0) resolve((performance.now() - begun) / 1000);
      },
    });
  });
}

function certify(csr: Buffer, signature: Buffer, publicKey: KeyObject, authority: KeyObject): void {
  if (!verify('sha256', csr, publicKey, signature)) throw new Error('the request does not verify');
  sign('sha256', csr, authority);
}
