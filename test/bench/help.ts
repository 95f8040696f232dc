// How long `muster --help` takes, beside a Node that does nothing.

import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { distributionRoot } from '../../core/host/distribution.ts';
import { median, report } from './report.ts';

const rounds = 20;

export async function run(): Promise<void> {
  const main = join(distributionRoot(), 'core/cli/main.js');
  const time = (...args: string[]) => {
    const started = performance.now();
    spawnSync(process.execPath, args, { stdio: 'ignore' });
    return performance.now() - started;
  };
  const bare: number[] = [];
  const help: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    bare.push(time('-e', '0'));
    help.push(time(main, '--help'));
  }
  report('help', `${rounds} interleaved pairs, Node ${process.version}`, [
    { what: 'node -e 0 (floor)', median: median(bare), unit: 'ms' },
    {
      what: 'muster --help',
      median: median(help),
      unit: 'ms',
      ratio: median(help) / median(bare),
      bound: '< 150 ms',
      met: median(help) < 150,
    },
  ]);
}
