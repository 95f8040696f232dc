// A real systemd that runs as the first process of namespaces of its own. It sees the machine's files read-only, its own
// units and nothing of the machine's services; when it is killed, all that it started is gone.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until } from './folders.ts';

const targets = ['base', 'sysinit', 'basic', 'shutdown', 'rescue', 'emergency'];

/** A control group of its own, since systemd takes all that it finds in the top one; afterwards it is removed. */
const outer = `set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/cgroup
mount -t cgroup2 none /mnt/cgroup
own=/mnt/cgroup/muster-test-$$
mkdir "$own"
echo $$ > "$own/cgroup.procs"
unshare --pid --fork --kill-child --cgroup --mount --uts --ipc --net --mount-proc sh "$1/inner.sh" "$1" || true
echo $$ > /mnt/cgroup/cgroup.procs
find "$own" -depth -type d -exec rmdir {} +
`;
const inner = `set -e
mount --bind "$1" "$1"
mount -o remount,bind,ro /
for folder in /run /var/lib/systemd /mnt; do mount -t tmpfs tmpfs $folder; done
mkdir /run/lock
mount -t tmpfs tmpfs /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
export container=muster SYSTEMD_UNIT_PATH="$1/units"
exec /lib/systemd/systemd --system --unit=base.target --log-target=console --show-status=no
`;

export class Systemd {
  readonly units: string;
  /** A folder with `systemctl`, to be put before PATH. */
  readonly programs: string;
  readonly #process: ChildProcess;
  #said = '';

  private constructor(folder: string) {
    this.units = join(folder, 'units');
    this.programs = join(folder, 'bin');
    for (const name of [this.units, this.programs]) mkdirSync(name, { recursive: true });
    for (const name of targets) writeFileSync(join(this.units, `${name}.target`), `[Unit]\nDescription=${name}\n`);
    writeFileSync(join(folder, 'outer.sh'), outer);
    writeFileSync(join(folder, 'inner.sh'), inner);
    this.#process = spawn('unshare', ['--mount', '--propagation', 'private', 'sh', join(folder, 'outer.sh'), folder], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    for (const stream of [this.#process.stdout, this.#process.stderr])
      stream?.on('data', (chunk: Buffer) => {
        this.#said = (this.#said + chunk.toString()).slice(-4_000);
      });
  }

  /** @throws Error that says what this machine lacks */
  static async start(folder: string): Promise<Systemd> {
    for (const [program, from] of Object.entries({ unshare: 'util-linux', nsenter: 'util-linux', systemctl: 'systemd' }))
      if (spawnSync(program, ['--version']).status !== 0) throw new Error(`needs ${program}: apt-get install ${from}`);
    if (process.getuid?.() !== 0) throw new Error('needs root, for namespaces of its own: run this test with sudo');
    const systemd = new Systemd(folder);
    await until('systemd runs', () => systemd.#isUp(), 60_000).catch((error: Error) => {
      systemd.#process.kill('SIGKILL');
      throw new Error(`needs a machine on which systemd runs in namespaces: ${error.message}: ${systemd.#said}`);
    });
    return systemd;
  }

  /** Kills it and all that it started, and waits until its control group is removed. */
  async stop(): Promise<void> {
    const first = this.#firstProcess();
    if (first !== undefined) process.kill(first, 'SIGKILL');
    await until('systemd is gone', () => this.#process.exitCode !== null || this.#process.signalCode !== null, 30_000);
  }

  writeUnit(name: string, text: string): void {
    writeFileSync(join(this.units, name), text);
    this.systemctl('daemon-reload');
  }

  systemctl(...args: readonly string[]): string {
    return spawnSync(join(this.programs, 'systemctl'), args, { encoding: 'utf8' }).stdout;
  }

  #isUp(): boolean {
    if (this.#process.exitCode !== null) throw new Error('it ended at once');
    const first = this.#firstProcess();
    if (first === undefined) return false;
    const wrapper = join(this.programs, 'systemctl');
    writeFileSync(wrapper, `#!/bin/sh\nPATH=/usr/bin:/bin\nexec nsenter --target ${first} --all systemctl "$@"\n`);
    chmodSync(wrapper, 0o755);
    return this.systemctl('is-system-running').trim() === 'running';
  }

  /** systemd as this machine sees it: the child of the inner unshare. */
  #firstProcess(): number | undefined {
    const [unshare] = childrenOf(this.#process.pid);
    const [first] = childrenOf(unshare);
    return first;
  }
}

function childrenOf(pid: number | undefined): number[] {
  try {
    return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').filter(Boolean).map(Number);
  } catch {
    return [];
  }
}
