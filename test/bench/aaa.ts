// The signer and logins: signatures a second over HTTP and NATS, by action list and by policy, with and without an audit log,
// against bare signatures; logins against bare password hashes; an auditor alone on a slow disk.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { hash } from '@node-rs/argon2';
import { distributionRoot } from '../../core/host/distribution.ts';
import { GroupLog } from '../../plugins/audit/group-log.ts';
import { issueFiles } from '../../plugins/overlay/ca.ts';
import { emptyFilter } from '../../plugins/wire/filter.ts';
import { makeClientToken } from '../../plugins/wire/tokens/client.ts';
import { keyFromSeed, publicHex } from '../../plugins/wire/tokens/ed25519.ts';
import { Fleet } from '../support/fleet.ts';
import { freePort, until } from '../support/folders.ts';
import { goProgram } from '../support/provisioning.ts';
import { policyRows } from './aaa-policy.ts';
import { median, quantile, type Row, report } from './report.ts';
import type { Load, LoadResult } from './sign-load.ts';

const clients = 64;
const signatures = 2_000;
/** Until the compiler of V8 has seen enough. */
const warmUp = 8_000;
const logins = 200;
const rounds = 5;
const requestBytes = 600;
const records = 500;
const recordBytes = 700;
const slowDiskMs = 2;
const password = 'correct horse battery staple';
const [issuerSeed, userSeed] = ['22'.repeat(32), '33'.repeat(32)];
const policy = `package io.choria.aaasvc

import rego.v1

default allow := false

allow if {
	input.agent == "webstack"
	input.action in {"rollout", "rollback"}
	input.data.tier == "edge"
	requires_fact_filter("country=mt")
}
`;

/** What the signer hands to a policy for a request of the load. */
const policyInput = {
  agent: 'webstack',
  action: 'rollout',
  data: { tier: 'edge', count: 3 },
  sender: 'bench.test',
  collective: 'mcollective',
  ttl: 60,
  time: '2026-01-01T00:00:00Z',
  site: 'bench',
  claims: { callerid: 'up=bench', ou: 'choria' },
};
const policyFilter = { ...emptyFilter, fact: [{ fact: 'country', operator: '==', value: 'mt' }] };

interface Variant {
  readonly name: string;
  readonly authorizer: 'actionlist' | 'opa';
  readonly auditors: readonly string[];
}

const variants: readonly Variant[] = [
  { name: 'list', authorizer: 'actionlist', auditors: ['logfile'] },
  { name: 'opa', authorizer: 'opa', auditors: ['logfile'] },
  { name: 'unaudited', authorizer: 'actionlist', auditors: [] },
  { name: 'chain', authorizer: 'actionlist', auditors: ['chain'] },
];

export async function run(): Promise<void> {
  const opa = await goProgram('opa');
  const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'muster-aaa-'));
  const fleet = await Fleet.start();
  const load = new LoadProcess();
  const services: Service[] = [];
  try {
    for (const variant of variants) services.push(await Service.start(fleet, folder, variant, opa));
    const rates = await measureSigners(services, load, fleet);
    const rows = [
      ...signerRows(rates),
      ...(await policyRows(opa, policy, policyInput, policyFilter)),
      ...(await loginRows(services, load)),
      ...(await auditRows(folder)),
    ];
    report('aaa', `${clients} clients in a process of their own, two cores, Node ${process.version}`, rows);
  } finally {
    load.stop();
    await Promise.all(services.map((service) => service.stop()));
    await fleet.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** An AAA service as a process. */
class Service {
  readonly variant: Variant;
  readonly port: number;
  readonly token: string;
  readonly #child: ChildProcess;

  private constructor(variant: Variant, port: number, token: string, child: ChildProcess) {
    [this.variant, this.port, this.token, this.#child] = [variant, port, token, child];
  }

  static async start(fleet: Fleet, folder: string, variant: Variant, opa: string): Promise<Service> {
    const own = join(folder, variant.name);
    mkdirSync(own);
    const file = (name: string, text: string) => {
      writeFileSync(join(own, name), text);
      return join(own, name);
    };
    const port = await freePort();
    const settings = await settingsOf(variant, port, file);
    const certificate = await issueFiles(fleet.authority, { commonName: `${variant.name}.privileged.mcollective` });
    const lines = [
      `identity = ${variant.name}.test`,
      'plugin.security.provider = file',
      `plugin.security.file.certificate = ${certificate.cert}`,
      `plugin.security.file.key = ${certificate.key}`,
      `plugin.security.file.ca = ${certificate.ca}`,
      `plugin.choria.middleware_hosts = 127.0.0.1:${fleet.port}`,
      `collectives = ${variant.name}`,
      `plugin.aaa.config = ${settings}`,
      `plugin.muster.opa = ${opa}`,
      `plugin.muster.state = ${join(own, 'state')}`,
      `logfile = ${join(own, 'aaa.log')}`,
      'loglevel = warn',
    ];
    const config = file('aaa.conf', `${lines.join('\n')}\n`);
    const main = join(distributionRoot(), 'core/cli/main.js');
    const child = spawn(process.execPath, ['--max-semi-space-size=2', main, 'run', 'aaa', '--config', config], {
      stdio: 'inherit',
    });
    await until(`the service ${variant.name} listens`, () => reachable(port), 60_000);
    const granted = variant.authorizer === 'opa' ? { opaPolicy: policy } : { agents: ['rpcutil.*', 'webstack.rollout'] };
    const token = await makeClientToken(
      { callerid: 'up=bench', publicKey: publicHex(keyFromSeed(userSeed)), ...granted, validitySeconds: 3_600 },
      { key: { algorithm: 'EdDSA', key: keyFromSeed(issuerSeed) } },
    );
    return new Service(variant, port, token, child);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return;
    const ended = once(this.#child, 'exit');
    this.#child.kill();
    await ended;
  }
}

async function settingsOf(
  { authorizer, auditors, name }: Variant,
  port: number,
  file: (name: string, text: string) => string,
): Promise<string> {
  const stored = await hash(password);
  // Nobody logs in many times at once.
  const users = Array.from({ length: logins }, (_, index) => ({ username: `bench${index}`, password: stored, acls: ['*'] }));
  const key = file('issuer.seed', issuerSeed);
  const settings = {
    site: 'bench',
    port,
    listen: '127.0.0.1',
    disable_tls: true,
    signer: 'basicjwt',
    authorizer,
    auditors,
    basicjwt_signer: {
      signing_certificate: file('issuer.public', publicHex(keyFromSeed(issuerSeed))),
      max_validity: '2h',
      choria_service: true,
      revocations: true,
    },
    authenticator: 'userlist',
    userlist_authenticator: { validity: '1h', users_file: file('users.json', JSON.stringify(users)), signing_key: key },
    login: { logins_by_address: 1_000_000, failures_by_address: 1_000_000 },
    logfile_auditor: { logfile: file(`${name}.log`, '') },
    chain_auditor: { logfile: file(`${name}.chain`, ''), key },
  };
  return file('aaa.json', JSON.stringify(settings));
}

async function reachable(port: number): Promise<boolean> {
  return fetch(`http://127.0.0.1:${port}/`).then(
    () => true,
    () => false,
  );
}

/** The process that asks. */
class LoadProcess {
  readonly #child = spawn(process.execPath, [fileURLToPath(new URL('./sign-load.js', import.meta.url))], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  readonly #lines: Interface = createInterface({ input: this.#child.stdout });

  async run(load: Load): Promise<LoadResult> {
    const answer = once(this.#lines, 'line');
    this.#child.stdin.write(`${JSON.stringify(load)}\n`);
    const [line] = (await answer) as [string];
    const result = JSON.parse(line) as LoadResult;
    if (result.refused > 0) throw new Error(`${result.refused} of ${load.count} requests were refused`);
    return result;
  }

  stop(): void {
    this.#child.stdin.end();
  }
}

interface Rates {
  readonly perSecond: number[];
  readonly ms: number[];
}

/** Every variant in turn, round by round, so that a machine that changes its pace does so for all. */
async function measureSigners(
  services: readonly Service[],
  load: LoadProcess,
  fleet: Fleet,
): Promise<ReadonlyMap<string, Rates>> {
  const files = await issueFiles(fleet.authority, { commonName: 'load.mcollective' });
  const rates = new Map<string, Rates>();
  const note = (name: string, seconds: number, count: number, ms: readonly number[]) => {
    const known = rates.get(name) ?? { perSecond: [], ms: [] };
    known.perSecond.push(count / seconds);
    known.ms.push(...ms);
    rates.set(name, known);
  };
  for (let round = -1; round < rounds; round += 1) {
    // The first round warms up.
    const count = round < 0 ? warmUp : signatures;
    if (round >= 0) note('floor', floor('sign.mjs', count, requestBytes), count, []);
    for (const { variant, port, token } of services) {
      const shared = { count, clients, token, seed: userSeed };
      const http = await load.run({ ...shared, port });
      const nats = await load.run({ ...shared, port, nats: { port: fleet.port, collective: variant.name, ...files } });
      if (round < 0) continue;
      note(`${variant.name} http`, http.seconds, count, http.ms);
      note(`${variant.name} nats`, nats.seconds, count, nats.ms);
    }
  }
  return rates;
}

function signerRows(rates: ReadonlyMap<string, Rates>): Row[] {
  const of = (name: string) => rates.get(name) ?? { perSecond: [], ms: [] };
  const bare = median(of('floor').perSecond);
  const against = (name: string, other: string) => {
    const share = median(of(name).perSecond.map((rate, round) => rate / (of(other).perSecond[round] ?? Number.NaN)));
    return { ratio: share, bound: '≥ 0.85', met: share >= 0.85 };
  };
  const rate = (what: string, name: string): Row[] => [
    { what, median: median(of(name).perSecond), unit: '/s', ratio: median(of(name).perSecond) / bare },
    { what: '  p99 of one request', median: quantile(of(name).ms, 0.99), unit: 'ms' },
  ];
  const compared = (what: string, name: string, other: string): Row => ({
    what,
    median: median(of(name).perSecond),
    unit: '/s',
    ...against(name, other),
  });
  return [
    { what: 'bare RSA signatures (floor)', median: bare, unit: '/s' },
    ...rate('signatures over HTTP, action list, log file', 'list http'),
    ...rate('signatures over NATS, action list, log file', 'list nats'),
    ...rate('signatures over HTTP, policy, log file', 'opa http'),
    ...rate('signatures over NATS, policy, log file', 'opa nats'),
    ...rate('signatures over HTTP, action list, chain', 'chain http'),
    compared('policy against action list, over HTTP', 'opa http', 'list http'),
    compared('policy against action list, over NATS', 'opa nats', 'list nats'),
    compared('with log file against without, over HTTP', 'list http', 'unaudited http'),
    compared('with log file against without, over NATS', 'list nats', 'unaudited nats'),
    compared('with chain against without, over HTTP', 'chain http', 'unaudited http'),
  ];
}

async function loginRows(services: readonly Service[], load: LoadProcess): Promise<Row[]> {
  const [service] = services;
  if (!service) return [];
  const stored = await hash(password);
  const bare: number[] = [];
  const ours: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    bare.push(logins / floor('password.mjs', logins, stored, password));
    const { seconds } = await load.run({
      count: logins,
      clients,
      token: '',
      seed: userSeed,
      port: service.port,
      login: { user: 'bench', password },
    });
    ours.push(logins / seconds);
  }
  return [
    { what: 'bare password hashes, argon2id (floor)', median: median(bare), unit: '/s' },
    { what: 'logins over HTTP', median: median(ours), unit: '/s', ratio: median(ours) / median(bare) },
  ];
}

/** One record after the other, each flushed, against groups of what came meanwhile; both on a disk that takes 2 ms. */
async function auditRows(folder: string): Promise<Row[]> {
  const bare: number[] = [];
  const ours: number[] = [];
  const line = `${'x'.repeat(recordBytes - 1)}\n`;
  for (let round = 0; round < rounds; round += 1) {
    bare.push(records / floor('records.mjs', join(folder, 'bare.log'), records, recordBytes, slowDiskMs));
    const log = new GroupLog<string>({
      file: join(folder, 'group.log'),
      render: (lines) => lines.join(''),
      rotatedName: async (file) => `${file}.1`,
      sync: async (handle) => {
        await sleep(slowDiskMs);
        await handle.datasync();
      },
    });
    let next = 0;
    const client = async () => {
      while (next++ < records) await log.append([line]);
    };
    const begun = performance.now();
    await Promise.all(Array.from({ length: clients }, client));
    ours.push(records / ((performance.now() - begun) / 1000));
    await log.close();
  }
  const ratio = median(ours) / median(bare);
  return [
    { what: `records one by one, a flush of ${slowDiskMs} ms each (floor)`, median: median(bare), unit: '/s' },
    { what: 'records of an auditor, in groups', median: median(ours), unit: '/s', ratio, bound: '≥ 10', met: ratio >= 10 },
  ];
}

/** @returns seconds */
function floor(program: string, ...args: readonly (string | number)[]): number {
  const file = fileURLToPath(new URL(`./floor/${program}`, import.meta.url));
  const text = execFileSync(process.execPath, [file, ...args.map(String)], { encoding: 'utf8' });
  return (JSON.parse(text) as { seconds: number }).seconds;
}
