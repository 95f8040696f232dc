// Programs that are not ours: from the environment, PATH, or the project's own `.tools`, into which Debian's packages are
// unpacked where there is none. Nothing is installed on the machine.

import { spawnSync } from 'node:child_process';
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';

/** @returns {string | undefined} the broker program: `NATS_SERVER`, then PATH, then `.tools` */
export function provideNatsServer(root, log) {
  const own = join(root, '.tools/nats-server');
  const found = [process.env.NATS_SERVER, onPath('nats-server'), own].find((path) => path && executable(path));
  if (found) return found;
  log('Unpacking nats-server from the Debian package into .tools …');
  const unpacked = unpackDebian(root, ['nats-server'], (tree) => renameSync(join(tree, 'usr/sbin/nats-server'), own));
  if (unpacked) return own;
  log('No nats-server was found. Install it (for instance `apt-get install nats-server`) or set NATS_SERVER to its path.');
  return undefined;
}

/** The names of Debian's packages of Ruby carry its version; the newest that there is will do. */
const rubyVersions = ['3.3', '3.1', '2.7'];

/** @returns {string | undefined} the folder that has `ruby` in it, for PATH; used by tests and by agents in Ruby */
export function provideRuby(root, log) {
  const found = onPath('ruby');
  if (found) return join(found, '..');
  const own = join(root, '.tools/ruby');
  if (executable(join(own, 'bin/ruby'))) return join(own, 'bin');
  log('Unpacking ruby from the Debian packages into .tools …');
  for (const version of rubyVersions) {
    const unpacked = unpackDebian(root, [`ruby${version}`, `libruby${version}`, 'libgmp10', 'libyaml-0-2'], (tree) => {
      mkdirSync(join(tree, 'bin'));
      writeFileSync(join(tree, 'bin/ruby'), rubyWrapper(version, libraryTriplet(tree)));
      chmodSync(join(tree, 'bin/ruby'), 0o755);
      rmSync(own, { recursive: true, force: true });
      renameSync(tree, own);
    });
    if (unpacked) return join(own, 'bin');
  }
  log('No ruby was found, so what is written in Ruby can not be tested. Install it, for instance: apt-get install ruby');
  return undefined;
}

/** @returns {string | undefined} the class path of PuppetDB, which a test of it runs; Java and PostgreSQL are the machine's */
export function providePuppetDb(root, log) {
  const own = join(root, '.tools/puppetdb');
  if (!existsSync(own)) {
    log('Unpacking puppetdb from the Debian packages into .tools …');
    const packages = javaPackagesOf('puppetdb');
    const unpacked = unpackDebian(root, packages, (tree) => {
      const jars = join(tree, 'usr/share/java');
      // Of the places that a log can go to, one may be on the class path.
      for (const name of readdirSync(jars).filter((jar) => /^slf4j-(?!api)/.test(jar))) rmSync(join(jars, name));
      renameSync(tree, own);
    });
    if (!unpacked) return undefined;
  }
  return `${own}/usr/share/puppetdb/puppetdb.jar:${own}/usr/share/java/*`;
}

/** Programs that tests use as peers: pinned, since what they test is how these work. */
const goPrograms = {
  // Debian's is older than what some parts can make use of.
  'nats-server': { variable: 'NEW_NATS_SERVER', source: 'github.com/nats-io/nats-server/v2@v2.15.3', env: {}, anyOnPath: false },
  cfssl: { variable: 'CFSSL', source: 'github.com/cloudflare/cfssl/cmd/cfssl@v1.6.5', env: {} },
  // Without C, it has no engine for the modules that it makes; only the compiler is used.
  opa: { variable: 'OPA', source: 'github.com/open-policy-agent/opa@v1.22.3', env: { CGO_ENABLED: '0' } },
  // Without C, what speaks to smart cards is left out.
  'step-ca': { variable: 'STEP_CA', source: 'github.com/smallstep/certificates/cmd/step-ca@v0.28.1', env: { CGO_ENABLED: '0' } },
};

/** @returns {string | undefined} a program in Go: the variable, PATH, or built from the Go module proxy into `.tools` */
export function provideGoProgram(root, name, log) {
  const { variable, source, env, anyOnPath = true } = goPrograms[name];
  const own = join(root, '.tools/go', name);
  const found = [process.env[variable], anyOnPath && onPath(name), own].find((path) => path && executable(path));
  if (found) return found;
  if (!onPath('go')) return undefined;
  log(`Building ${source} into .tools …`);
  const { status } = spawnSync('go', ['install', source], {
    stdio: ['ignore', 2, 2],
    env: {
      ...process.env,
      ...env,
      GOBIN: join(root, '.tools/go'),
      GOCACHE: join(root, '.tools/go-cache'),
      GOMODCACHE: join(root, '.tools/go-modules'),
      // What is downloaded can be removed again like any other file.
      GOFLAGS: '-mod=mod -modcacherw',
      // The version is pinned, and a machine that reaches a proxy need not reach the sum database.
      GOSUMDB: process.env.GOSUMDB ?? 'off',
    },
  });
  return status === 0 ? own : undefined;
}

/** What the longer tests meet, before any of them starts: builds take minutes, and no test should wait for those of another. */
export function providePeers(root, log) {
  for (const name of Object.keys(goPrograms)) provideGoProgram(root, name, log);
  for (const name of Object.keys(debianPrograms)) provideDebian(root, name, log);
  providePuppetDb(root, log);
}

/** A package and those libraries for Java that it depends on, directly or not. */
function javaPackagesOf(name) {
  const only = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances'].map((relation) => `--no-${relation}`);
  const { stdout } = spawnSync('apt-cache', ['depends', '--recurse', ...only, name], { encoding: 'utf8' });
  const all = [
    ...new Set(
      String(stdout)
        .split('\n')
        .filter((line) => /^[a-z]/.test(line)),
    ),
  ];
  return all.filter((line) => line === name || (/clojure|^lib.*(java|jackson)/.test(line) && !/jre|jdk/.test(line)));
}

/** What tests of logins meet: a browser, a directory, tokens that hold keys. */
const debianPrograms = {
  chromium: { packages: ['chromium'], programs: ['usr/lib/chromium/chromium'] },
  slapd: { packages: ['slapd'], programs: ['usr/sbin/slapd', 'usr/sbin/slapadd'] },
  softhsm: { packages: ['softhsm2', 'opensc', 'opensc-pkcs11'], programs: ['usr/bin/softhsm2-util', 'usr/bin/pkcs11-tool'] },
};

/**
 * Programs of Debian, from PATH or unpacked into `.tools` with what they need that this machine lacks.
 * @returns {{programs: string[], tree: string | undefined, env: Record<string, string>} | undefined}
 */
export function provideDebian(root, name, log) {
  const { packages, programs } = debianPrograms[name];
  const found = programs.map((path) => onPath(path.slice(path.lastIndexOf('/') + 1)));
  if (found.every(Boolean)) return { programs: found, tree: undefined, env: {} };
  const own = join(root, '.tools', name);
  if (!existsSync(own)) {
    log(`Unpacking ${name} from the Debian packages into .tools …`);
    const unpacked = unpackDebian(root, withMissing(packages), (tree) => renameSync(tree, own));
    if (!unpacked) return undefined;
  }
  return {
    programs: programs.map((path) => join(own, path)),
    tree: own,
    env: { LD_LIBRARY_PATH: librariesIn(own).join(delimiter) },
  };
}

/** The folders with libraries, of which some are one below the usual. */
function librariesIn(tree) {
  const folders = ['usr/lib', 'lib'].map((folder) => join(tree, folder, libraryTriplet(tree))).filter((path) => existsSync(path));
  const below = folders.flatMap((folder) => readdirSync(folder).map((name) => join(folder, name)));
  const isWithLibraries = (path) => statSync(path).isDirectory() && readdirSync(path).some((name) => /^lib.*\.so/.test(name));
  return [...folders, join(tree, 'usr/lib'), ...below.filter(isWithLibraries)];
}

/** Packages, and those that they depend on and that are not installed. */
function withMissing(packages) {
  const args = ['install', '--print-uris', '-y', '--no-install-recommends', ...packages];
  const { stdout } = spawnSync('apt-get', args, { encoding: 'utf8' });
  const files = String(stdout)
    .split('\n')
    .filter((line) => line.startsWith("'"))
    .map((line) => line.split(' ')[1] ?? '');
  const names = files.map((file) => file.split('_')[0] ?? '').filter((name) => name !== '');
  return names.length > 0 ? names : packages;
}

/** Ruby finds its libraries below the folder that it was unpacked into, wherever that lies. */
function rubyWrapper(version, triplet) {
  const api = `${version}.0`;
  return `#!/bin/sh
here=$(dirname "$(dirname "$(readlink -f "$0")")")
lib="$here/usr/lib"
export LD_LIBRARY_PATH="$lib/${triplet}\${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
export RUBYLIB="\${RUBYLIB:+$RUBYLIB:}$lib/ruby/vendor_ruby:$lib/ruby/${api}:$lib/${triplet}/ruby/${api}"
exec "$here/usr/bin/ruby${version}" --disable-gems "$@"
`;
}

function libraryTriplet(tree) {
  return readdirSync(join(tree, 'usr/lib')).find((name) => name.includes('-linux-')) ?? '';
}

/** Downloads and unpacks packages into one tree, which `keep` takes what it needs from. @returns whether that worked */
function unpackDebian(root, packages, keep) {
  mkdirSync(join(root, '.tools'), { recursive: true });
  const work = mkdtempSync(join(root, '.tools/unpack-'));
  try {
    if (spawnSync('apt-get', ['download', ...packages], { cwd: work, stdio: 'ignore' }).status !== 0) return false;
    const tree = join(work, 'tree');
    const archives = readdirSync(work).filter((name) => name.endsWith('.deb'));
    const failed = archives.some((archive) => spawnSync('dpkg-deb', ['-x', archive, tree], { cwd: work }).status !== 0);
    if (failed || archives.length < packages.length) return false;
    keep(tree);
    return true;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** The path of a program on PATH. */
export function onPath(program) {
  return (process.env.PATH ?? '')
    .split(delimiter)
    .filter(Boolean)
    .map((dir) => join(dir, program))
    .find(executable);
}

function executable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
