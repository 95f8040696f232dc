// The real dnf, rpm and createrepo_c of Debian's packages, unpacked into `.tools`, with a root and a repository of their own.

import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const tools = fileURLToPath(new URL('../../.tools', import.meta.url));
const programs = ['dnf', 'createrepo-c', 'rpm'];
const unpackMs = 240_000;

/** Unpacks the packages that this machine lacks, once. @throws Error that says what to do */
function provideTree(): string {
  const tree = join(tools, 'dnf');
  if (existsSync(tree)) return tree;
  mkdirSync(tools, { recursive: true });
  const work = mkdtempSync(join(tools, 'unpack-'));
  try {
    const plan = spawnSync('apt-get', ['--simulate', '--no-install-recommends', 'install', ...programs], { encoding: 'utf8' });
    const needed = [...(plan.stdout ?? '').matchAll(/^Inst (\S+)/gm)].map(([, name]) => name ?? '');
    const got = spawnSync('apt-get', ['download', ...needed], { cwd: work, encoding: 'utf8', timeout: unpackMs });
    if (plan.status !== 0 || got.status !== 0)
      throw new Error(`needs dnf: apt-get update, or apt-get install ${programs.join(' ')} (${plan.stderr}${got.stderr ?? ''})`);
    for (const file of readdirSync(work).filter((name) => name.endsWith('.deb')))
      execFileSync('dpkg-deb', ['-x', join(work, file), join(work, 'tree')]);
    mkdirSync(join(work, 'tree'), { recursive: true });
    renameSync(join(work, 'tree'), tree);
    return tree;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

export class RpmRoot {
  /** The folder with `dnf` and `rpm`, to be put before PATH. */
  readonly programs: string;
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    this.programs = join(folder, 'bin');
    // rpm can't be told of a folder with a blank in its name.
    const tree = join(folder, 'tree');
    symlinkSync(provideTree(), tree);
    for (const name of ['bin', 'root', 'repository', 'specs']) mkdirSync(join(folder, name), { recursive: true });
    writeFileSync(
      join(folder, 'dnf.conf'),
      `[main]
reposdir=/dev/null
pluginpath=/dev/null
cachedir=${folder}/cache
logdir=${folder}/log
persistdir=${folder}/persist
gpgcheck=0
[local]
name=local
baseurl=file://${folder}/repository
metadata_expire=0
`,
    );
    const libraries = `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu`;
    const wrap = (name: string, command: string) => {
      const file = join(this.programs, name);
      writeFileSync(
        file,
        `#!/bin/sh
export LD_LIBRARY_PATH=${tree}/usr/lib/${libraries} PYTHONPATH=${tree}/usr/lib/python3/dist-packages RPM_CONFIGDIR=${tree}/usr/lib/rpm
exec ${command} "$@"
`,
      );
      chmodSync(file, 0o755);
    };
    wrap('dnf', `/usr/bin/python3 ${tree}/usr/bin/dnf --config=${folder}/dnf.conf --installroot=${folder}/root --releasever=1`);
    wrap('rpm', `${tree}/usr/bin/rpm --root=${folder}/root`);
    wrap('rpmbuild', `${tree}/usr/bin/rpmbuild --define "_topdir ${folder}/build" --define "_rpmdir ${folder}/repository" -bb`);
    wrap('createrepo_c', `${tree}/usr/bin/createrepo_c --quiet ${folder}/repository`);
  }

  /** Builds a package and puts it into the repository. */
  publish(name: string, version: string, { epoch = 0, setUp = '' }: { epoch?: number; setUp?: string } = {}): void {
    const spec = join(this.#folder, 'specs', `${name}-${version}.spec`);
    writeFileSync(
      spec,
      `Name: ${name}
Version: ${version}
Release: 1
Epoch: ${epoch}
Summary: for a test
License: MIT
BuildArch: noarch
%description
for a test
%install
mkdir -p %{buildroot}/usr/share
echo ${version} > %{buildroot}/usr/share/${name}
${setUp === '' ? '' : `%pre -p <lua>\n${setUp}`}
%files
/usr/share/${name}
`,
    );
    execFileSync(join(this.programs, 'rpmbuild'), [spec], { stdio: 'pipe' });
    execFileSync(join(this.programs, 'createrepo_c'), { stdio: 'pipe' });
  }
}
