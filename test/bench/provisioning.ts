// Machines that enrol themselves, all at once: from the first event to the last one that is up in its fleet, against bare
// connections, signatures and messages. A broker, a provisioner, and processes of emulated nodes with a prepared key. What a node
// keeps lies in memory, where there is such a folder: the disks of thousands of machines are not this one's.

import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, sign, verify } from 'node:crypto';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect, type NatsConnection } from 'nats';
import { distributionRoot } from '../../core/host/distribution.ts';
import { issueFiles, openAuthority } from '../../plugins/overlay/ca.ts';
import type { Secrets } from '../../plugins/overlay/enrolment.ts';
import { type EnrollingPlan, prepareOverlay } from '../../plugins/overlay/prepare.ts';
import { freePort, until } from '../support/folders.ts';
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
const main = join(distributionRoot(), 'core/cli/main.js');

interface Place {
  readonly folder: string;
  readonly plan: EnrollingPlan;
  readonly fleet: number;
  readonly provisioning: number;
  readonly secrets: Secrets;
  readonly files: { readonly cert: string; readonly key: string; readonly ca: string };
}

export async function run(args: readonly string[]): Promise<void> {
  const given = args[args.indexOf('--nodes') + 1];
  const nodes = args.includes('--nodes') && given ? Number(given) : 2_000;
  const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'muster-bench-'));
  const running: ChildProcess[] = [];
  try {
    const place = await prepare(folder);
    running.push(start(['run', 'broker', '--config', place.plan.brokerConfig]));
    await until('the brokers listen', () => listens(place), 60_000);
    const bare = await measureFloor(place, nodes);
    const ours = await measureOurs(place, 'built-in-ca', nodes);
    const few = Math.min(nodes, oneshotNodes);
    const shell = await measureOurs(place, 'openssl-ca', few);
    report('provisioning', `${nodes} nodes in ${processes} processes, one broker, Node ${process.version}`, [
      ...rowsOf(nodes, ours, bare),
      { what: `${few} nodes, openssl-ca (a shell script for each)`, median: perMinute(few, shell.seconds), unit: 'nodes/min' },
    ]);
  } finally {
    await stop(running);
    rmSync(folder, { recursive: true, force: true });
  }
}

interface Measured {
  readonly seconds: number;
  /** Milliseconds of each step of each node, by its name. */
  readonly steps: ReadonlyMap<string, readonly number[]>;
}

function rowsOf(nodes: number, { seconds, steps: taken }: Measured, bare: number): Row[] {
  const rate = perMinute(nodes, seconds);
  const split = [...taken].map(([step, ms]) => ({ what: `  to ${step}, from the step before`, median: median(ms), unit: 'ms' }));
  return [
    { what: `${nodes} nodes, bare (floor)`, median: bare, unit: 's' },
    { what: `${nodes} nodes, built-in CA`, median: seconds, unit: 's', ratio: seconds / bare },
    {
      what: `${nodes} nodes, built-in CA`,
      median: rate,
      unit: 'nodes/min',
      bound: `≥ ${wantedPerMinute.toLocaleString('en')}`,
      met: rate >= wantedPerMinute,
    },
    ...split,
  ];
}

function perMinute(nodes: number, seconds: number): number {
  return (nodes / seconds) * 60;
}

async function prepare(folder: string): Promise<Place> {
  const [fleet, provisioning] = [await freePort(), await freePort()];
  const plan = await prepareOverlay(folder, { fleet, provisioning }, process.env);
  const authority = await openAuthority(join(folder, 'authority'), '');
  const files = await issueFiles(authority, { commonName: 'bench.example.net' });
  const secrets = JSON.parse(readFileSync(join(folder, 'secrets.json'), 'utf8')) as Secrets;
  return { folder, plan, fleet, provisioning, secrets, files };
}

/** A provisioner and its nodes, until the last of them is up. */
async function measureOurs(place: Place, hook: string, nodes: number): Promise<Measured> {
  const { folder, plan } = place;
  const config = join(folder, `provisioner-${hook}.conf`);
  const ca = join(folder, 'openssl-ca');
  if (hook === 'openssl-ca') layOut(join(folder, 'authority/nodes'), ca);
  const lines = [
    `plugin.provisioner.hook = ${hook}`,
    `plugin.muster.openssl_ca.folder = ${ca}`,
    `plugin.muster.state = ${join(folder, `provisioner-${hook}`)}`,
  ];
  writeFileSync(config, `${readFileSync(plan.provisionerConfig, 'utf8')}${lines.join('\n')}\n`, { mode: 0o600 });
  const watched = await watch(place, nodes);
  const provisioner = start(['run', 'provisioner', '--config', config]);
  const emulator = start(
    [
      ...['emulate', '--nodes', String(nodes), '--processes', String(Math.min(processes, nodes)), '--prefix', `${hook}-`],
      ...['--provision', join(folder, 'provisioning.jwt'), '--config', plan.clientConfig],
    ],
    { TMPDIR: folder },
  );
  try {
    return await watched.done;
  } finally {
    await watched.close();
    await stop([emulator, provisioner]);
  }
}

/** The authority of the nodes as openssl-ca keeps one, so that the broker trusts what it signs. */
function layOut(authority: string, folder: string): void {
  cpSync(authority, folder, { recursive: true });
  writeFileSync(join(folder, 'index.txt'), '');
  writeFileSync(join(folder, 'crlnumber'), '1000\n');
}

/** Listens on both networks: the first event of a node begins, the last start in the fleet ends. */
async function watch(place: Place, nodes: number) {
  const [before, after] = await connections(place);
  const seen = new Map<string, number>();
  const taken = new Map<string, number[]>(steps.map((step) => [step, []]));
  let begun = 0;
  before.subscribe('choria.lifecycle.event.startup.provision_mode_server', {
    callback: () => {
      begun ||= performance.now();
    },
  });
  before.subscribe('choria.provisioning.event.*', {
    callback: (_error, message) => {
      const { identity, step } = message.json<{ data: { identity: string; step: string } }>().data;
      const now = performance.now();
      taken.get(step)?.push(now - (seen.get(identity) ?? now));
      seen.set(identity, now);
    },
  });
  const done = new Promise<Measured>((resolve, reject) => {
    const up = new Set<string>();
    const late = setTimeout(() => reject(new Error(`${up.size} of ${nodes} nodes are up`)), patienceMs);
    after.subscribe('choria.lifecycle.event.startup.server', {
      callback: (_error, message) => {
        up.add(message.json<{ data: { identity: string } }>().data.identity);
        if (up.size < nodes) return;
        clearTimeout(late);
        resolve({ seconds: (performance.now() - begun) / 1000, steps: taken });
      },
    });
  });
  await Promise.all([before.flush(), after.flush()]);
  return { done, close: () => Promise.all([before.close(), after.close()]) };
}

async function measureFloor(place: Place, nodes: number): Promise<number> {
  const { fleet, provisioning, secrets, files } = place;
  const [before, after] = await connections(place);
  const program = fileURLToPath(new URL('./floor/provisioning.mjs', import.meta.url));
  const share = Math.ceil(nodes / processes);
  const servers = [`nats://127.0.0.1:${provisioning}`, `nats://127.0.0.1:${fleet}`];
  const shown = [secrets.nodePassword, files.cert, files.key, files.ca];
  let children: ChildProcess[] = [];
  try {
    const seconds = enrolBare(before, after, nodes, files.key);
    children = Array.from({ length: processes }, (_, index) => {
      const own = [String(index * share), String(Math.min(share, nodes - index * share)), String(replyBytes)];
      return spawn(process.execPath, [program, ...servers, ...shown, ...own], { stdio: ['ignore', 'ignore', 'inherit'] });
    });
    return await seconds;
  } finally {
    await Promise.all([before.close(), after.close()]);
    await stop(children);
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

function connections({ fleet, provisioning, secrets, files }: Place): Promise<[NatsConnection, NatsConnection]> {
  const { cert: certFile, key: keyFile, ca: caFile } = files;
  const login = { user: 'provisioner', pass: secrets.provisionerPassword };
  return Promise.all([
    connect({ servers: `nats://127.0.0.1:${provisioning}`, ...login, tls: { caFile }, inboxPrefix: 'provisioning.reply.bench' }),
    connect({ servers: `nats://127.0.0.1:${fleet}`, tls: { certFile, keyFile, caFile } }),
  ]);
}

async function listens(place: Place): Promise<boolean> {
  try {
    await Promise.all((await connections(place)).map((connection) => connection.close()));
    return true;
  } catch {
    return false;
  }
}

function start(args: readonly string[], env: Readonly<Record<string, string>> = {}): ChildProcess {
  return spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'ignore', 'inherit'], env: { ...process.env, ...env } });
}

async function stop(children: readonly ChildProcess[]): Promise<void> {
  for (const child of children) child.kill('SIGINT');
  await Promise.all(
    children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null).map((child) => once(child, 'exit')),
  );
}
