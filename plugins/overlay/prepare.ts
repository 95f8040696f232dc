// What an overlay is made of on disk: certificates, configuration, facts, classes, policies.

import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type AaaPlan, callersOf, writeAaa } from './aaa.ts';
import { type Authority, issueFiles, openAuthority } from './ca.ts';
import { provideSecrets, provisioningListener, writeProvisioner, writeToken } from './enrolment.ts';
import { security, write } from './files.ts';

export interface Ports {
  readonly fleet: number;
  /** For nodes without certificates. */
  readonly provisioning: number;
  /** For logins and signatures. */
  readonly aaa: number;
}

export interface NodePlan {
  readonly identity: string;
  readonly configFile: string;
}

export interface OverlayPlan {
  readonly folder: string;
  readonly port: number;
  readonly brokerConfig: string;
  readonly clientConfig: string;
  /** Bundles that are dropped here run on every node. */
  readonly bundles: string;
  readonly nodes: readonly NodePlan[];
}

/** With a provisioner that enrols its nodes. */
export interface EnrollingPlan extends OverlayPlan {
  readonly provisionerConfig: string;
  readonly aaa: AaaPlan;
}

interface Machine {
  readonly name: string;
  readonly classes: readonly string[];
  readonly facts: Readonly<Record<string, unknown>>;
}

/** Those that nodes and users are members of; the first is the usual one. */
export const collectives = ['mcollective', 'production', 'development'] as const;

const machines: readonly Machine[] = [
  { name: 'web1.example.net', classes: ['role::web', 'nginx'], facts: facts('Debian', '12', 4, 'berlin', 'production') },
  { name: 'web2.example.net', classes: ['role::web', 'nginx'], facts: facts('Debian', '11', 4, 'valletta', 'production') },
  { name: 'db1.example.net', classes: ['role::db', 'postgresql'], facts: facts('RedHat', '9', 16, 'berlin', 'production') },
  { name: 'db2.example.net', classes: ['role::db', 'postgresql'], facts: facts('RedHat', '9', 16, 'valletta', 'production') },
  { name: 'lab1.example.net', classes: ['role::lab'], facts: facts('Debian', '12', 2, 'valletta', 'staging') },
];

/** Actions of agents that change the machine, as far as they only look. */
const harmless: Readonly<Record<string, string>> = {
  package: 'status count md5 checkupdates apt_checkupdates yum_checkupdates',
  service: 'status',
};

function facts(family: string, release: string, cpus: number, site: string, environment: string): Machine['facts'] {
  const country = site === 'valletta' ? 'mt' : 'de';
  return { os: { family, release: { major: release } }, cpus, site, country, environment };
}

/** The name that this user's certificate gets, so that the commands below work for whoever runs them. */
export function operatorName(environment: NodeJS.ProcessEnv): string {
  const isRoot = process.getuid?.() === 0;
  return !isRoot && environment.USER ? `${environment.USER}.mcollective` : 'operator.mcollective';
}

/**
 * Writes all of it, with nodes that have nothing but a token; other certificates that are still good are kept.
 * @param samples folder with sample bundles and policies
 */
export async function prepareOverlay(
  folder: string,
  ports: Ports,
  environment: NodeJS.ProcessEnv,
  samples: string,
): Promise<EnrollingPlan> {
  const authority = await openAuthority(join(folder, 'authority'), 'Muster overlay CA');
  const bundles = join(folder, 'bundles');
  mkdirSync(bundles, { recursive: true });
  cpSync(join(samples, 'bundles/webstack'), join(bundles, 'webstack'), { recursive: true });
  const operator = operatorName(environment);
  const secrets = provideSecrets(folder);
  const token = await writeToken(folder, secrets, ports.provisioning);
  const nodeSettings = settingsOfNodes(folder, ports.fleet, bundles);
  const [brokerConfig, clientConfig, provisionerConfig, aaa] = await Promise.all([
    writeBroker(folder, authority, ports.fleet, provisioningListener(secrets, ports.provisioning)),
    writeClient(folder, authority, ports.fleet, operator, bundles),
    writeProvisioner({ folder, authority, port: ports.fleet, provisioningPort: ports.provisioning, secrets, nodeSettings }),
    writeAaa({ folder, authority, ports, bundles, policies: join(samples, 'policies') }),
  ]);
  const nodes = machines.map((machine) => writeEmptyNode(folder, machine, operator, token));
  return { folder, port: ports.fleet, brokerConfig, clientConfig, provisionerConfig, bundles, nodes, aaa };
}

export async function writeBroker(
  folder: string,
  authority: Authority,
  port: number,
  further: readonly string[] = [],
): Promise<string> {
  const files = await issueFiles(authority, { commonName: 'broker.example.net', names: ['localhost', '127.0.0.1'] });
  const file = join(folder, 'broker.conf');
  rmSync(file, { force: true });
  return write(
    file,
    [
      ...security(files),
      'identity = broker.example.net',
      'plugin.choria.network.listen_address = 127.0.0.1',
      `plugin.choria.network.client_port = ${port}`,
      `plugin.choria.network.stream.store = ${join(folder, 'jetstream')}`,
      `plugin.choria.middleware_hosts = 127.0.0.1:${port}`,
      ...further,
      `plugin.muster.state = ${join(folder, 'broker')}`,
      `logfile = ${join(folder, 'broker.log')}`,
    ],
    0o600,
  );
}

export async function writeClient(
  folder: string,
  authority: Authority,
  port: number,
  operator: string,
  bundles: string,
): Promise<string> {
  const files = await issueFiles(authority, { commonName: operator });
  return write(join(folder, 'client.conf'), [
    ...security(files),
    `identity = ${operator}`,
    `plugin.choria.middleware_hosts = 127.0.0.1:${port}`,
    `plugin.muster.bundles = ${bundles}`,
    // Many programs share this machine: the first answer may take its time, the others come soon after it.
    'discovery_timeout = 10',
    'plugin.choria.discovery.broadcast.windowed_timeout = yes',
    'plugin.muster.discovery.window = 1s',
  ]);
}

/** A node that allows everything and tells everything on stderr, for somebody who writes a bundle. */
export async function writeDevNode(folder: string, authority: Authority, port: number, bundles: string): Promise<NodePlan> {
  const identity = 'dev.example.net';
  const files = await issueFiles(authority, { commonName: identity });
  const factsFile = write(join(folder, 'facts.json'), [
    JSON.stringify(facts('Debian', '12', 2, 'valletta', 'development'), null, 2),
  ]);
  const configFile = write(join(folder, 'server.conf'), [
    ...security(files),
    `identity = ${identity}`,
    `plugin.choria.middleware_hosts = 127.0.0.1:${port}`,
    `plugin.yaml = ${factsFile}`,
    `classesfile = ${write(join(folder, 'classes.txt'), ['role::dev'])}`,
    'rpcauthorization = no',
    `plugin.muster.state = ${join(folder, 'state')}`,
    `plugin.muster.bundles = ${bundles}`,
    'loglevel = debug',
    'logfile = stderr',
  ]);
  return { identity, configFile };
}

/** A machine as it is installed: who it is, where its token is, and nothing to join a fleet with. */
function writeEmptyNode(folder: string, { name, classes, facts: values }: Machine, operator: string, token: string): NodePlan {
  const own = join(folder, 'nodes', name);
  for (const left of ['ssl', 'server.conf']) rmSync(join(own, left), { recursive: true, force: true });
  write(join(own, 'facts.json'), [JSON.stringify(values, null, 2)]);
  write(join(own, 'classes.txt'), classes);
  // What the users of the AAA service may was decided by the signer.
  const everybody = [`choria=${operator}`, ...callersOf()].join(' ');
  write(join(own, 'policies/default.policy'), ['policy default deny', `allow\t${everybody}\t*\t*\t*`]);
  // The action `users` is left out on purpose: the show has one request denied.
  write(join(own, 'policies/host.policy'), ['policy default deny', `allow\tchoria=${operator}\tdisks load processes\t*\t*`]);
  // All nodes are this one machine, whose packages and services are no playground.
  for (const [agent, actions] of Object.entries(harmless))
    write(join(own, `policies/${agent}.policy`), ['policy default deny', `allow\tchoria=${operator}\t${actions}\t*\t*`]);
  const configFile = write(join(own, 'server.conf'), [
    `identity = ${name}`,
    'plugin.choria.server.provision = yes',
    `plugin.muster.provisioning.token = ${token}`,
    `plugin.muster.state = ${join(own, 'state')}`,
    `logfile = ${join(own, 'server.log')}`,
  ]);
  return { identity: name, configFile };
}

function settingsOfNodes(folder: string, port: number, bundles: string): string[] {
  const own = join(folder, 'nodes/{{identity}}');
  return [
    `plugin.choria.middleware_hosts = 127.0.0.1:${port}`,
    `plugin.yaml = ${own}/facts.json`,
    `classesfile = ${own}/classes.txt`,
    `collectives = ${collectives.join(',')}`,
    'rpcauthorization = yes',
    'rpcauthprovider = action_policy',
    'plugin.actionpolicy.enable_default = yes',
    'rpcaudit = yes',
    `plugin.rpcaudit.logfile = ${own}/audit.log`,
    'registration = inventory_content',
    'registration_splay = no',
    `plugin.muster.state = ${own}/state`,
    `plugin.muster.bundles = ${bundles}`,
    `logfile = ${own}/server.log`,
    `plugin.muster.provisioning.token = ${folder}/provisioning.jwt`,
  ];
}
