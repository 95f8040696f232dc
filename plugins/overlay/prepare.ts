// What an overlay is made of on disk: certificates, configuration, facts, classes, policies.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Authority, type IssuedFiles, issueFiles, openAuthority } from './ca.ts';

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

interface Machine {
  readonly name: string;
  readonly classes: readonly string[];
  readonly facts: Readonly<Record<string, unknown>>;
}

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
  return { os: { family, release: { major: release } }, cpus, site, environment };
}

/** The name that this user's certificate gets, so that the commands below work for whoever runs them. */
export function operatorName(environment: NodeJS.ProcessEnv): string {
  const isRoot = process.getuid?.() === 0;
  return !isRoot && environment.USER ? `${environment.USER}.mcollective` : 'operator.mcollective';
}

/** Writes all of it; certificates that are still good are kept. */
export async function prepareOverlay(folder: string, port: number, environment: NodeJS.ProcessEnv): Promise<OverlayPlan> {
  const authority = await openAuthority(join(folder, 'ca'), 'Muster overlay CA');
  const bundles = join(folder, 'bundles');
  mkdirSync(bundles, { recursive: true });
  const operator = operatorName(environment);
  const [broker, client, ...nodes] = await Promise.all([
    writeBroker(folder, authority, port),
    writeClient(folder, authority, port, operator, bundles),
    ...machines.map((machine) => writeNode(folder, authority, port, machine, operator, bundles)),
  ]);
  return { folder, port, brokerConfig: broker, clientConfig: client, bundles, nodes };
}

export async function writeBroker(folder: string, authority: Authority, port: number): Promise<string> {
  const files = await issueFiles(authority, { commonName: 'broker.example.net', names: ['localhost', '127.0.0.1'] });
  return write(join(folder, 'broker.conf'), [
    ...security(files),
    'identity = broker.example.net',
    'plugin.choria.network.listen_address = 127.0.0.1',
    `plugin.choria.network.client_port = ${port}`,
    `plugin.choria.network.stream.store = ${join(folder, 'jetstream')}`,
    `plugin.choria.middleware_hosts = 127.0.0.1:${port}`,
    `plugin.muster.state = ${join(folder, 'broker')}`,
    `logfile = ${join(folder, 'broker.log')}`,
  ]);
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

async function writeNode(
  folder: string,
  authority: Authority,
  port: number,
  { name, classes, facts: values }: Machine,
  operator: string,
  bundles: string,
): Promise<NodePlan> {
  const files = await issueFiles(authority, { commonName: name });
  const own = join(folder, 'nodes', name);
  const factsFile = write(join(own, 'facts.json'), [JSON.stringify(values, null, 2)]);
  const classesFile = write(join(own, 'classes.txt'), classes);
  write(join(own, 'policies/default.policy'), ['policy default deny', `allow\tchoria=${operator}\t*\t*\t*`]);
  // The action `users` is left out on purpose: the show has one request denied.
  write(join(own, 'policies/host.policy'), ['policy default deny', `allow\tchoria=${operator}\tdisks load processes\t*\t*`]);
  // All nodes are this one machine, whose packages and services are no playground.
  for (const [agent, actions] of Object.entries(harmless))
    write(join(own, `policies/${agent}.policy`), ['policy default deny', `allow\tchoria=${operator}\t${actions}\t*\t*`]);
  const configFile = write(join(own, 'server.conf'), [
    ...security(files),
    `identity = ${name}`,
    `plugin.choria.middleware_hosts = 127.0.0.1:${port}`,
    `plugin.yaml = ${factsFile}`,
    `classesfile = ${classesFile}`,
    'rpcauthorization = yes',
    'rpcauthprovider = action_policy',
    'plugin.actionpolicy.enable_default = yes',
    'rpcaudit = yes',
    `plugin.rpcaudit.logfile = ${join(own, 'audit.log')}`,
    'registration = inventory_content',
    'registration_splay = no',
    `plugin.muster.state = ${join(own, 'state')}`,
    `plugin.muster.bundles = ${bundles}`,
    `logfile = ${join(own, 'server.log')}`,
  ]);
  return { identity: name, configFile };
}

function security({ cert, key, ca }: IssuedFiles): string[] {
  return [
    'plugin.security.provider = file',
    `plugin.security.file.certificate = ${cert}`,
    `plugin.security.file.key = ${key}`,
    `plugin.security.file.ca = ${ca}`,
  ];
}

function write(file: string, lines: readonly string[]): string {
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}
