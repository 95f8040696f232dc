// A full cell on one machine: everybody answers a ping, and everybody does `rpcutil ping`, against bare NATS subscribers that
// verify and hash. Two clustered brokers, at least two processes of nodes.

import { type ChildProcess, spawn } from 'node:child_process';
import { createHash, createPrivateKey, sign } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connect, type NatsConnection } from 'nats';
import { distributionRoot } from '../../core/host/distribution.ts';
import { embed } from '../../core/host/embed.ts';
import { clientNeeds, FleetClient } from '../../plugins/fleet-client/client.ts';
import { callRpc } from '../../plugins/fleet-client/request.ts';
import { type IssuedFiles, issueFiles, openAuthority } from '../../plugins/overlay/ca.ts';
import { freePort, temporaryFolder, until } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';
import { median, type Row, report } from './report.ts';

const rounds = 5;
/** A process may open 20,000 files, and a node has its connection and its ledger. */
const nodesOfAProcess = 5_000;
/** About what the transport of a request and of a reply to `rpcutil ping` have. */
const requestBytes = 3_000;
const replyBytes = 800;
const answerMs = 60_000;
const nameOfOperator = 'operator.mcollective';

interface Cell {
  readonly folder: string;
  readonly servers: readonly string[];
  readonly files: IssuedFiles;
  readonly config: Readonly<Record<string, unknown>>;
  readonly configFile: string;
}

export async function run(args: readonly string[]): Promise<void> {
  const given = args[args.indexOf('--nodes') + 1];
  const sizes = args.includes('--nodes') && given ? given.split(',').map(Number) : [1_000, 5_000];
  const { path, remove } = temporaryFolder();
  const brokers: TestHost[] = [];
  try {
    const cell = await startBrokers(path, brokers);
    const rows: Row[] = [];
    const warm: number[] = [];
    for (const nodes of sizes) {
      const ours = await measureOurs(cell, nodes);
      const floor = await measureFloor(cell, nodes);
      warm.push(median(ours.ping.slice(1)));
      rows.push(...rowsOf(nodes, ours, floor));
    }
    if (sizes.length > 1) rows.push(growth(sizes, warm));
    report(
      'fanout',
      `processes of up to ${nodesOfAProcess} nodes, 2 brokers, ${rounds} warm rounds, Node ${process.version}`,
      rows,
    );
  } finally {
    for (const broker of brokers) await broker.stop();
    remove();
  }
}

/** Milliseconds of each round, the first one cold. */
interface Measured {
  readonly setUpSeconds: number;
  readonly ping: readonly number[];
  readonly direct: readonly number[];
}

function rowsOf(nodes: number, ours: Measured, floor: Measured): Row[] {
  const row = (what: string, own: readonly number[], bare: readonly number[]): Row[] => {
    const ratio = median(own.slice(1)) / median(bare.slice(1));
    return [
      { what: `${nodes} nodes: ${what}, bare (floor)`, median: median(bare.slice(1)), unit: 'ms' },
      {
        what: `${nodes} nodes: ${what}, warm`,
        median: median(own.slice(1)),
        unit: 'ms',
        ratio,
        bound: '≤ 1.6',
        met: ratio <= 1.6,
      },
      { what: `${nodes} nodes: ${what}, cold`, median: own[0] ?? Number.NaN, unit: 'ms' },
    ];
  };
  return [
    { what: `${nodes} nodes: set up`, median: ours.setUpSeconds, unit: 's' },
    ...row('ping', ours.ping, floor.ping),
    ...row('rpcutil ping', ours.direct, floor.direct),
  ];
}

/** How the time grows with the number: 1 is in proportion. */
function growth(sizes: readonly number[], ms: readonly number[]): Row {
  const [first = 1, last = 1] = [sizes[0], sizes.at(-1)];
  const exponent = Math.log((ms.at(-1) ?? 1) / (ms[0] ?? 1)) / Math.log(last / first);
  return {
    what: `growth from ${first} to ${last} nodes`,
    median: exponent,
    unit: 'exponent',
    bound: '≤ 1.1',
    met: exponent <= 1.1,
  };
}

async function startBrokers(folder: string, brokers: TestHost[]): Promise<Cell> {
  const authority = await openAuthority(join(folder, 'ca'), 'Bench CA');
  const broker = await issueFiles(authority, { commonName: 'broker.bench', names: ['localhost', '127.0.0.1'] });
  const ports = await Promise.all([freePort(), freePort(), freePort(), freePort()]);
  const [client1, client2, peer1, peer2] = ports as [number, number, number, number];
  for (const [index, [port, peer, other]] of (
    [
      [client1, peer1, peer2],
      [client2, peer2, peer1],
    ] as const
  ).entries())
    brokers.push(
      await startHost({
        distribution: true,
        services: ['broker'],
        config: {
          ...security(broker),
          identity: `broker${index}.bench`,
          'plugin.choria.network.listen_address': '127.0.0.1',
          'plugin.choria.network.client_port': port,
          'plugin.choria.network.peer_port': peer,
          'plugin.choria.network.peers': `127.0.0.1:${other}`,
          // Thousands connect at once; who waits for its turn is not to be sent away.
          'plugin.choria.network.tls_timeout': '60s',
        },
      }),
    );
  for (const host of brokers)
    await until(
      'a broker is healthy',
      async () => ((await host.host.call('service', 'broker', 'service/status', {})) as { healthy: boolean }).healthy,
    );
  const files = await issueFiles(authority, { commonName: nameOfOperator });
  const servers = [client1, client2].map((port) => `127.0.0.1:${port}`);
  const config = {
    ...security(files),
    identity: nameOfOperator,
    'plugin.choria.middleware_hosts': servers.join(','),
    'plugin.choria.network.connect_timeout': '60s',
  };
  const configFile = join(folder, 'client.conf');
  writeFileSync(
    configFile,
    Object.entries(config)
      .map(([key, value]) => `${key} = ${value}\n`)
      .join(''),
  );
  return { folder, servers, files, config, configFile };
}

function security({ cert, key, ca }: IssuedFiles): Record<string, string> {
  return {
    'plugin.security.provider': 'file',
    'plugin.security.file.certificate': cert,
    'plugin.security.file.key': key,
    'plugin.security.file.ca': ca,
  };
}

function processesFor(nodes: number): number {
  return Math.max(2, Math.ceil(nodes / nodesOfAProcess));
}

async function measureOurs({ config, configFile }: Cell, nodes: number): Promise<Measured> {
  const started = performance.now();
  const main = join(distributionRoot(), 'core/cli/main.js');
  const args = [main, 'emulate', '--nodes', String(nodes), '--processes', String(processesFor(nodes)), '--config', configFile];
  const emulator = await ready([process.execPath, ...args], `${nodes} nodes run in`);
  const setUpSeconds = (performance.now() - started) / 1000;
  const embedded = await embed({ config, needs: clientNeeds });
  try {
    const client = new FleetClient(embedded.host);
    await client.open();
    const targets = Array.from({ length: nodes }, (_, index) => `emulated${index + 1}`);
    const ping = await repeat(async () => {
      const begun = performance.now();
      const { answers } = await client.ping({ expect: nodes, timeoutMs: answerMs });
      complete('ping', answers.length, nodes);
      return performance.now() - begun;
    });
    const direct = await repeat(async () => {
      const begun = performance.now();
      const { statistics } = await callRpc(client, { agent: 'rpcutil', action: 'ping', data: {}, targets, timeoutMs: answerMs });
      complete('rpcutil ping', statistics.ok, nodes);
      return performance.now() - begun;
    });
    return { setUpSeconds, ping, direct };
  } finally {
    await embedded.close();
    await stop([emulator]);
  }
}

async function measureFloor({ servers, files }: Cell, nodes: number): Promise<Measured> {
  const started = performance.now();
  const program = fileURLToPath(new URL('./floor/fanout.mjs', import.meta.url));
  const processes = processesFor(nodes);
  const share = Math.ceil(nodes / processes);
  const urls = servers.map((server) => `nats://${server}`);
  const children = await Promise.all(
    Array.from({ length: processes }, (_, index) => {
      const own = Math.min(share, nodes - index * share);
      const args = [urls.join(','), files.cert, files.key, files.ca, String(index * share), String(own), String(replyBytes)];
      return ready([process.execPath, '--max-old-space-size=12288', program, ...args], 'ready');
    }),
  );
  const setUpSeconds = (performance.now() - started) / 1000;
  const nats = await connect({ servers: urls, tls: { certFile: files.cert, keyFile: files.key, caFile: files.ca } });
  try {
    const payload = bareRequest(files.key);
    const all = () => Promise.resolve(nats.publish('bare.all', payload, { reply: 'bare.reply' }));
    const each = async () => {
      for (let index = 0; index < nodes; index += 1) nats.publish(`bare.node.bare${index}`, payload, { reply: 'bare.reply' });
    };
    const ping = await repeat(() => gather(nats, nodes, all));
    const direct = await repeat(() => gather(nats, nodes, each));
    return { setUpSeconds, ping, direct };
  } finally {
    await nats.close();
    await stop(children);
  }
}

/** A signature and what was signed, as `floor/fanout.mjs` reads it. */
function bareRequest(keyFile: string): Uint8Array {
  const body = Buffer.alloc(requestBytes, 'x');
  const signature = sign('sha256', body, createPrivateKey(readFileSync(keyFile)));
  return Buffer.concat([Buffer.from([signature.length >> 8, signature.length & 255]), signature, body]);
}

/** Milliseconds until so many replies were hashed. */
async function gather(nats: NatsConnection, count: number, send: () => Promise<void>): Promise<number> {
  const begun = performance.now();
  let left = count;
  await new Promise<void>((resolve, reject) => {
    const late = setTimeout(() => reject(new Error(`${left} of ${count} bare subscribers did not answer`)), answerMs);
    const subscription = nats.subscribe('bare.reply', {
      callback: (_error, { data }) => {
        createHash('sha256').update(data).digest();
        left -= 1;
        if (left > 0) return;
        clearTimeout(late);
        subscription.unsubscribe();
        resolve();
      },
    });
    void send();
  });
  return performance.now() - begun;
}

async function repeat(measure: () => Promise<number>): Promise<number[]> {
  const ms: number[] = [];
  for (let round = 0; round <= rounds; round += 1) ms.push(await measure());
  return ms;
}

function complete(what: string, actual: number, expected: number): void {
  if (actual !== expected) throw new Error(`${what}: ${actual} of ${expected} nodes answered`);
}

/** A process that has printed a line that begins like this. */
async function ready([program = '', ...args]: readonly string[], line: string): Promise<ChildProcess> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let [text, last] = ['', ''];
  child.stdout.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  child.stderr.on('data', (chunk: Buffer) => {
    last = chunk.toString();
  });
  await until(
    `${line} is printed`,
    () => {
      if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${last}`);
      return text.includes(line);
    },
    1_200_000,
  );
  return child;
}

async function stop(children: readonly ChildProcess[]): Promise<void> {
  for (const child of children) child.kill('SIGINT');
  await Promise.all(
    children.filter(({ exitCode, signalCode }) => exitCode === null && signalCode === null).map((child) => once(child, 'exit')),
  );
}
