// Calls through the host: TypeScript and Python plugins against a bare echo over a pipe, an inline plugin against a JSON
// round trip, one call at a time, and a process for each call.

import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { resolveConfig } from '../../core/config/values.ts';
import { Host } from '../../core/host/host.ts';
import { silentLog } from '../../core/host/log.ts';
import { Runtime } from '../../core/host/runtime.ts';
import { startEcho } from './floor/ndjson.mjs';
import { median, type Row, report } from './report.ts';

const rounds = 5;
const inFlight = 64;
const calls = 60_000;
const pairs = 10;
const pairCalls = 3_000;
const params = { pad: 'x'.repeat(120), number: 42, list: [1, 2, 3] };

type Call = () => Promise<unknown>;

export async function run(): Promise<void> {
  if (process.argv[3] === 'one-at-a-time') return oneAtATime();
  const { host, close } = await startBenchHost();
  const floor = startEcho();
  const subjects: Readonly<Record<string, Call>> = {
    'bare echo over a pipe (floor)': () => floor.call(params),
    'plugin in TypeScript': () => host.call('echo', 'echo_typescript', 'echo/echo', params),
    'plugin in Python': () => host.call('echo', 'echo_python', 'echo/echo', params),
    'JSON round trip in memory (floor)': async () =>
      JSON.parse(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'echo/echo', params })),
    'inline plugin': () => host.call('echo', 'echo_inline', 'echo/echo', params),
  };
  const rates: Record<string, number[]> = Object.fromEntries(Object.keys(subjects).map((name) => [name, []]));
  for (const call of Object.values(subjects)) await throughput(call, 5_000);
  for (let round = 0; round < rounds; round += 1)
    for (const [name, call] of Object.entries(subjects)) rates[name]?.push(await throughput(call, calls));
  const spawned = await spawnEach();
  floor.stop();
  await close();
  const rate = (name: string) => median(rates[name] ?? []);
  const pipe = rate('bare echo over a pipe (floor)');
  const json = rate('JSON round trip in memory (floor)');
  const row = (name: string, against: number, least: number): Row => ({
    what: name,
    median: rate(name),
    unit: 'calls/s',
    ratio: rate(name) / against,
    bound: `≥ ${least}`,
    met: rate(name) / against >= least,
  });
  report(
    'plugin-calls',
    `${inFlight} in flight, ${JSON.stringify(params).length} bytes, ${rounds} rounds of ${calls}, Node ${process.version}`,
    [
      { what: 'bare echo over a pipe (floor)', median: pipe, unit: 'calls/s' },
      row('plugin in TypeScript', pipe, 0.7),
      row('plugin in Python', pipe, 0.45),
      { what: 'JSON round trip in memory (floor)', median: json, unit: 'calls/s' },
      row('inline plugin', json, 1),
      {
        what: 'a process for each call',
        median: spawned,
        unit: 'calls/s',
        ratio: rate('plugin in Python') / spawned,
        bound: 'Python plugin over it, printed',
      },
    ],
  );
  // Pinned to one core, both alike: waking an idle core costs more than the call itself.
  const pinned = spawnSync(
    'taskset',
    ['-c', '0', process.execPath, fileURLToPath(new URL('./main.js', import.meta.url)), 'plugin-calls', 'one-at-a-time'],
    { stdio: 'inherit' },
  );
  if (pinned.error) process.stdout.write('one call at a time was not measured: taskset is not there (Debian: util-linux)\n');
}

async function oneAtATime(): Promise<void> {
  const { host, close } = await startBenchHost();
  const floor = startEcho();
  const over: number[] = [];
  const bare: number[] = [];
  const latency = async (call: Call) => {
    const started = performance.now();
    for (let count = 0; count < pairCalls; count += 1) await call();
    return ((performance.now() - started) / pairCalls) * 1000;
  };
  const through: Call = () => host.call('echo', 'echo_typescript', 'echo/echo', params);
  const direct: Call = () => floor.call(params);
  await latency(through);
  await latency(direct);
  for (let pair = 0; pair < pairs; pair += 1) {
    const [first, second] = pair % 2 === 0 ? [direct, through] : [through, direct];
    const [a, b] = [await latency(first), await latency(second)];
    const [floorTime, hostTime] = pair % 2 === 0 ? [a, b] : [b, a];
    bare.push(floorTime);
    over.push(hostTime - floorTime);
  }
  floor.stop();
  await close();
  report('plugin-calls, one in flight', `${pairs} interleaved pairs of ${pairCalls}, all processes pinned to one core`, [
    { what: 'bare echo over a pipe (floor)', median: median(bare), unit: 'µs/call' },
    { what: 'through the host, over the floor', median: median(over), unit: 'µs/call', bound: '≤ 15', met: median(over) <= 15 },
  ]);
}

async function throughput(call: Call, total: number): Promise<number> {
  let left = total;
  const started = performance.now();
  const worker = async () => {
    while (left > 0) {
      left -= 1;
      await call();
    }
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return total / ((performance.now() - started) / 1000);
}

/** A bare spawn of `cat` for each call, one after the other on each of two cores. */
async function spawnEach(): Promise<number> {
  const { spawn } = await import('node:child_process');
  const once = () =>
    new Promise<void>((resolve) => {
      const child = spawn('cat', { stdio: ['pipe', 'pipe', 'ignore'] });
      child.stdout.resume();
      child.once('close', () => resolve());
      child.stdin.end(JSON.stringify(params));
    });
  const total = 400;
  let left = total;
  const started = performance.now();
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      while (left-- > 0) await once();
    }),
  );
  return total / ((performance.now() - started) / 1000);
}

async function startBenchHost(): Promise<{ host: Host; close: () => Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), 'muster-bench-'));
  const bundles = join(folder, 'bundles');
  mkdirSync(bundles);
  const fixtures = fileURLToPath(new URL('../../../fixtures/bundles', import.meta.url));
  for (const name of ['echo-typescript', 'echo-python', 'echo-inline']) symlinkSync(join(fixtures, name), join(bundles, name));
  const runtime = new Runtime();
  const config = resolveConfig({ file: undefined, entries: [] }, new Map());
  const host = new Host({ runtime, bundles: [bundles], stateFolder: join(folder, 'state'), config, log: silentLog });
  await host.start();
  return {
    host,
    close: async () => {
      await host.stop('done');
      runtime.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
