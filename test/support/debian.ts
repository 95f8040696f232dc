// A Debian root of its own with a local repository, for the real apt-get and dpkg: the machine's packages are not touched.

import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

export interface DebianPackage {
  readonly name: string;
  readonly version: string;
  readonly depends?: string;
  /** Text of its configuration file, `/etc/<name>.conf`. */
  readonly configuration?: string;
  /** Shell script that runs when it is set up; `$DPKG_ROOT` is the root. */
  readonly setUp?: string;
}

export class DebianRoot {
  readonly root: string;
  readonly repository: string;
  /** What apt-get and dpkg need in their environment. */
  readonly environment: Readonly<Record<string, string>>;
  readonly #work: string;

  /** @throws Error that names the program that is missing */
  constructor(folder: string) {
    for (const program of ['apt-get', 'dpkg', 'dpkg-deb'])
      if (spawnSync(program, ['--version']).status !== 0) throw new Error(`needs ${program}: run this test on Debian or Ubuntu`);
    this.root = join(folder, 'root');
    this.repository = join(folder, 'repository');
    this.#work = join(folder, 'work');
    // biome-ignore format: a list of folders
    const folders = [
      'var/lib/dpkg/updates', 'var/lib/dpkg/info', 'var/lib/apt/lists/partial', 'var/cache/apt/archives/partial', 'var/log/apt',
      'etc/apt/preferences.d', 'etc/apt/sources.list.d', 'etc/apt/apt.conf.d', 'etc/apt/trusted.gpg.d',
    ];
    for (const name of folders) mkdirSync(join(this.root, name), { recursive: true });
    mkdirSync(this.repository);
    writeFileSync(join(this.root, 'var/lib/dpkg/status'), '');
    writeFileSync(join(this.repository, 'Packages'), '');
    writeFileSync(join(this.root, 'etc/apt/sources.list'), `deb [trusted=yes] file:${this.repository} ./\n`);
    const config = join(folder, 'apt.conf');
    writeFileSync(
      config,
      `Dir "${this.root}";
Dir::State::status "${this.root}/var/lib/dpkg/status";
Dir::Bin::dpkg "/usr/bin/dpkg";
Dir::Bin::methods "/usr/lib/apt/methods";
DPkg::Options:: "--root=${this.root}";
DPkg::Options:: "--force-script-chrootless";
DPkg::Options:: "--force-not-root";
DPkg::Chroot-Directory "/";
APT::Sandbox::User "root";
`,
    );
    this.environment = { APT_CONFIG: config, DPKG_ROOT: this.root };
  }

  /** Builds a package and puts it into the repository. */
  publish({ name, version, depends, configuration, setUp }: DebianPackage): void {
    const folder = join(this.#work, `${name}_${version}`);
    mkdirSync(join(folder, 'DEBIAN'), { recursive: true, mode: 0o755 });
    mkdirSync(join(folder, 'etc'));
    // A package without a file would vanish as soon as another one is installed.
    mkdirSync(join(folder, 'usr/share', name), { recursive: true });
    writeFileSync(join(folder, 'usr/share', name, 'version'), version);
    const control = `Package: ${name}\nVersion: ${version}\nArchitecture: all\nMaintainer: Tests <tests@example.org>\nDescription: for a test\n`;
    writeFileSync(join(folder, 'DEBIAN/control'), depends === undefined ? control : `${control}Depends: ${depends}\n`);
    if (configuration !== undefined) {
      writeFileSync(join(folder, `etc/${name}.conf`), configuration);
      writeFileSync(join(folder, 'DEBIAN/conffiles'), `/etc/${name}.conf\n`);
    }
    if (setUp !== undefined) writeFileSync(join(folder, 'DEBIAN/postinst'), `#!/bin/sh\nset -e\n${setUp}\n`, { mode: 0o755 });
    const file = join(this.repository, `${name}_${version}.deb`);
    execFileSync('dpkg-deb', ['--root-owner-group', '--build', folder, file], { stdio: 'pipe' });
    const contents = readFileSync(file);
    const fields = execFileSync('dpkg-deb', ['--field', file], { encoding: 'utf8' });
    const digest = createHash('sha256').update(contents).digest('hex');
    const entry = `${fields.trim()}\nFilename: ./${basename(file)}\nSize: ${contents.length}\nSHA256: ${digest}\n\n`;
    appendFileSync(join(this.repository, 'Packages'), entry);
  }

  read(path: string): string {
    return readFileSync(join(this.root, path), 'utf8');
  }

  has(path: string): boolean {
    return existsSync(join(this.root, path));
  }

  remove(path: string): void {
    rmSync(join(this.root, path));
  }

  write(path: string, text: string): void {
    writeFileSync(join(this.root, path), text);
  }
}
