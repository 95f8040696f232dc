// Whether memory stays where it is: after many requests, and over many reloads.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { echoPlugin } from '../support/echo.ts';
import { Fleet } from '../support/fleet.ts';
import { temporaryFolder } from '../support/folders.ts';
import { startHost } from '../support/hosts.ts';
import { report } from './report.ts';
import { Load } from './requests.ts';

const [early, late] = [20_000, 100_000];
const reloads = 1_000;
/** Until V8 has compiled what it will. */
const warmReloads = 500;

export async function run(): Promise<void> {
  const part = process.argv[3];
  if (part === 'requests') return requests();
  if (part === 'reloads') return reloading();
  // A process for each, so that what one leaves behind does not count for the other.
  const main = fileURLToPath(new URL('./main.js', import.meta.url));
  for (const name of ['requests', 'reloads'])
    spawnSync(process.execPath, ['--expose-gc', main, 'memory', name], { stdio: 'inherit' });
}

async function heapMb(): Promise<number> {
  for (let count = 0; count < 5; count += 1) {
    global.gc?.();
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return process.memoryUsage().heapUsed / 1024 / 1024;
}

async function requests(): Promise<void> {
  const fleet = await Fleet.start();
  try {
    const node = await fleet.node('memory.test', {
      policies: { rpcutil: ['policy default deny', 'allow\tchoria=operator.mcollective\t*\t*\t*'] },
    });
    const load = await Load.open(fleet);
    let sent = 0;
    const upTo = async (total: number) => {
      while (sent < total) {
        await load.send(load.sign(2_000), 'memory.test');
        sent += 2_000;
      }
      node.log.splice(0);
      return heapMb();
    };
    const before = await upTo(early);
    const after = await upTo(late);
    report('memory, requests', `heap after gc, node and client in one process, Node ${process.version}`, [
      { what: `after ${early} requests`, median: before, unit: 'MB' },
      {
        what: `after ${late} requests`,
        median: after,
        unit: 'MB',
        ratio: after / before,
        bound: '≤ 1.03',
        met: after / before <= 1.03,
      },
    ]);
  } finally {
    await fleet.stop();
  }
}

async function reloading(): Promise<void> {
  const { path, remove } = temporaryFolder();
  const bundle = echoPlugin(path);
  const running = await startHost({ bundles: [path] });
  try {
    await running.host.call('echo', 'echo', 'echo/echo', { text: '' });
    const reload = async (version: number) => {
      echoPlugin(path, { version: `1.0.${version}` });
      await running.host.reloadBundle(bundle);
      running.log.splice(0);
    };
    for (let version = 1; version <= warmReloads; version += 1) await reload(version);
    const before = await heapMb();
    for (let version = warmReloads + 1; version <= warmReloads + reloads; version += 1) await reload(version);
    const after = await heapMb();
    report('memory, reloads', 'heap after gc of a host whose persistent bundle is replaced', [
      { what: `after ${warmReloads} reloads`, median: before, unit: 'MB' },
      {
        what: `after ${reloads} more`,
        median: after,
        unit: 'MB',
        ratio: after / before,
        bound: '≤ 1.03',
        met: after / before <= 1.03,
      },
    ]);
  } finally {
    await running.stop();
    remove();
  }
}
