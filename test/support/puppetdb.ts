// A real PuppetDB with its PostgreSQL, in a folder of its own, that asks for client certificates.

import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import type { IssuedFiles } from '../../plugins/overlay/ca.ts';
import { freePort, until } from './folders.ts';
import { root } from './languages.ts';

const startMs = 180_000;
/** PostgreSQL refuses to run as root. */
const nobody = 65_534;

export interface KnownMachine {
  readonly certname: string;
  readonly facts: object;
  /** Titles of Puppet's classes. */
  readonly classes?: readonly string[];
  /** Tags of files that Puppet manages there. */
  readonly tags?: readonly string[];
  readonly deactivated?: boolean;
}

export class PuppetDb {
  readonly port: number;
  readonly #tls: IssuedFiles;
  readonly #processes: ChildProcess[] = [];

  private constructor(port: number, tls: IssuedFiles) {
    this.port = port;
    this.#tls = tls;
  }

  /** @throws Error that names the program that is missing */
  static async start(folder: string, tls: IssuedFiles): Promise<PuppetDb> {
    if (spawnSync('java', ['-version']).status !== 0)
      throw new Error('this test needs Java: apt-get install default-jre-headless');
    const { providePuppetDb } = (await import(join(root, 'core/setup/tools.mjs'))) as {
      providePuppetDb: (root: string, log: (line: string) => void) => string | undefined;
    };
    const classPath = providePuppetDb(root, () => undefined);
    if (!classPath) throw new Error('this test needs Debian’s package puppetdb, which could not be downloaded');
    const server = new PuppetDb(await freePort(), tls);
    try {
      await server.#startJava(folder, classPath, await server.#startPostgres(folder));
    } catch (error) {
      await server.stop();
      throw error;
    }
    return server;
  }

  /** Tells it of a machine, as a Puppet server does. */
  async tell({ certname, facts, classes = [], tags = [], deactivated }: KnownMachine): Promise<void> {
    const common = { certname, environment: 'production', producer_timestamp: new Date().toISOString(), producer: 'test' };
    await this.#command('replace_facts', 5, certname, { ...common, values: facts });
    const resource = (type: string, title: string, own: readonly string[]) => ({
      ...{ type, title, exported: false, file: null, line: null, tags: own, aliases: [], parameters: {} },
    });
    const resources = [
      ...classes.map((title) => resource('Class', title, [])),
      ...tags.map((tag) => resource('File', `/${tag}`, [tag])),
    ];
    const catalog = { ...common, version: '1', transaction_uuid: null, catalog_uuid: null, code_id: null, job_id: null };
    await this.#command('replace_catalog', 9, certname, { ...catalog, edges: [], resources });
    if (deactivated)
      await this.#command('deactivate_node', 3, certname, { certname, producer_timestamp: new Date().toISOString() });
  }

  /** Waits until it has done everything that it was told. */
  async settled(certnames: readonly string[]): Promise<void> {
    await until(
      'PuppetDB has taken in all that it was told',
      async () => {
        const query = encodeURIComponent(JSON.stringify(['extract', 'certname', ['=', 'node_state', 'any']]));
        const known = JSON.parse(await this.#ask('GET', `/pdb/query/v4/nodes?query=${query}`)) as { certname: string }[];
        const status = JSON.parse(await this.#ask('GET', '/status/v1/services/puppetdb-status')) as {
          status: { queue_depth: number };
        };
        return certnames.every((name) => known.some((row) => row.certname === name)) && status.status.queue_depth === 0;
      },
      60_000,
    );
  }

  async stop(): Promise<void> {
    for (const child of this.#processes.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const ended = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGINT');
      const timer = setTimeout(() => child.kill('SIGKILL'), 15_000);
      await ended;
      clearTimeout(timer);
    }
  }

  #command(command: string, version: number, certname: string, body: object): Promise<string> {
    return this.#ask('POST', `/pdb/cmd/v1?command=${command}&version=${version}&certname=${certname}`, JSON.stringify(body));
  }

  #ask(method: string, path: string, body?: string): Promise<string> {
    const { cert, key, ca } = this.#tls;
    const [certificate, secret, authority] = [cert, key, ca].map((file) => readFileSync(file));
    return new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json', accept: 'application/json' };
      const tls = { cert: certificate, key: secret, ca: authority, timeout: 60_000 };
      const sent = request({ host: '127.0.0.1', port: this.port, method, path, headers, ...tls }, (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () => {
          const text = Buffer.concat(parts).toString('utf8');
          if (response.statusCode === 200) resolve(text);
          else reject(new Error(`${method} ${path}: ${response.statusCode} ${text}`));
        });
      });
      sent.on('timeout', () => sent.destroy(new Error(`${method} ${path} took too long`)));
      sent.on('error', reject);
      sent.end(body);
    });
  }

  async #startPostgres(folder: string): Promise<number> {
    const programs = postgresPrograms();
    const own = join(folder, 'postgres');
    mkdirSync(own);
    const asRoot = process.getuid?.() === 0;
    if (asRoot) {
      chmodSync(folder, 0o755);
      chownSync(own, nobody, nobody);
    }
    const user = asRoot ? { uid: nobody, gid: nobody } : {};
    const data = join(own, 'data');
    execFileSync(join(programs, 'initdb'), ['-D', data, '-U', 'puppetdb', '--auth=trust', '--no-sync'], {
      ...user,
      cwd: own,
      stdio: 'ignore',
    });
    const port = await freePort();
    const settings = ['-p', String(port), '-k', own, '-c', 'listen_addresses=127.0.0.1', '-c', 'fsync=off'];
    this.#processes.push(spawn(join(programs, 'postgres'), ['-D', data, ...settings], { ...user, cwd: own, stdio: 'ignore' }));
    const sql = (database: string, text: string) =>
      spawnSync(join(programs, 'psql'), ['-h', '127.0.0.1', '-p', String(port), '-U', 'puppetdb', '-c', text, database])
        .status === 0;
    await until('PostgreSQL takes commands', () => sql('postgres', 'create database puppetdb'), 60_000);
    if (!sql('puppetdb', 'create extension pg_trgm'))
      throw new Error('this test needs pg_trgm: apt-get install postgresql-contrib');
    return port;
  }

  async #startJava(folder: string, classPath: string, postgres: number): Promise<void> {
    const own = join(folder, 'puppetdb');
    const conf = join(own, 'conf.d');
    mkdirSync(conf, { recursive: true });
    const { cert, key, ca } = this.#tls;
    const write = (name: string, lines: readonly string[]) => writeFileSync(join(conf, name), `${lines.join('\n')}\n`);
    write('config.ini', ['[global]', `vardir = ${own}`]);
    write('database.ini', ['[database]', `subname = //127.0.0.1:${postgres}/puppetdb`, 'username = puppetdb', 'password = none']);
    write('jetty.ini', [
      '[jetty]',
      'ssl-host = 127.0.0.1',
      `ssl-port = ${this.port}`,
      `ssl-cert = ${cert}`,
      `ssl-key = ${key}`,
      `ssl-ca-cert = ${ca}`,
      'client-auth = need',
    ]);
    const anyone = 'match-request: { path: "/", type: path }, allow: "*", sort-order: 1, name: "whoever has a certificate"';
    write('auth.conf', [`authorization: { version: 1, rules: [ { ${anyone} } ] }`]);
    const bootstrap = join(root, '.tools/puppetdb/etc/puppetdb/bootstrap.cfg');
    const log = openSync(join(own, 'log'), 'w');
    const java = spawn(
      'java',
      // biome-ignore format: a command line
      ['-Xmx384m', '-cp', classPath, 'clojure.main', '-m', 'puppetlabs.puppetdb.core', 'services', '--config', conf, '--bootstrap-config', bootstrap],
      { cwd: own, stdio: ['ignore', log, log] },
    );
    this.#processes.push(java);
    await until(
      'PuppetDB is up',
      async () => {
        if (java.exitCode !== null) throw new Error(`PuppetDB ended: ${readFileSync(join(own, 'log'), 'utf8').slice(-2_000)}`);
        return (await this.#ask('GET', '/status/v1/services/puppetdb-status').catch(() => '')).includes('"running"');
      },
      startMs,
    );
  }
}

function postgresPrograms(): string {
  const versions = '/usr/lib/postgresql';
  try {
    const [newest] = readdirSync(versions).sort((a, b) => Number(b) - Number(a));
    if (newest !== undefined) return join(versions, newest, 'bin');
  } catch {
    // Named below.
  }
  throw new Error('this test needs PostgreSQL: apt-get install postgresql');
}
