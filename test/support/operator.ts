// An operator beside two nodes: the `muster` command in a folder of its own, with a configuration that reaches them.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { distributionRoot } from '../../core/host/distribution.ts';
import { type Ran, writeConfig } from './command.ts';
import { patience } from './discovery.ts';
import { Fleet } from './fleet.ts';

const main = join(distributionRoot(), 'core/cli/main.js');

export class Operator {
  readonly fleet: Fleet;
  readonly config: string;

  private constructor(fleet: Fleet, config: string) {
    [this.fleet, this.config] = [fleet, config];
  }

  static async start(): Promise<Operator> {
    const fleet = await Fleet.start();
    await Promise.all([
      fleet.node('a.test', { facts: { site: 'oslo', size: 1 }, classes: ['red'] }),
      fleet.node('b.test', {
        facts: { site: 'oslo', size: 3 },
        classes: ['blue'],
        policies: { rpcutil: ['policy default deny', 'allow\t*\tget_fact ping inventory daemon_stats collective_info\t*\t*'] },
      }),
    ]);
    const config = writeConfig(fleet.folder, 'client.conf', {
      ...(await fleet.certificate('operator.mcollective')),
      identity: 'operator.mcollective',
      ...patience,
      'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
    });
    return new Operator(fleet, config);
  }

  stop(): Promise<void> {
    return this.fleet.stop();
  }

  /** The words of the command. */
  command(...args: string[]): [string, ...string[]] {
    return [process.execPath, main, ...args, '--config', this.config];
  }

  muster(...args: string[]): Promise<Ran> {
    return this.run(...this.command(...args));
  }

  run(program: string, ...args: string[]): Promise<Ran> {
    return new Promise((resolve) => {
      execFile(program, args, { cwd: this.fleet.folder, env: { ...process.env, NO_COLOR: '1' } }, (error, out, err) =>
        resolve({ code: error ? Number(error.code ?? 1) : 0, out, err }),
      );
    });
  }
}
