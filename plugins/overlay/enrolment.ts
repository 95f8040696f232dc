// What lets empty nodes enrol themselves: a token that they all have, a provisioner, and what it configures them with.

import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { keyFromSeed, publicHex } from '../wire/tokens/ed25519.ts';
import { makeProvisioningToken } from '../wire/tokens/provisioning.ts';
import { type Authority, issueFiles } from './ca.ts';
import { security, write } from './files.ts';
import { provideNodeAuthority } from './node-authority.ts';

const validitySeconds = 365 * 86_400;

/** What the parts of an enrolment know of each other. */
export interface Secrets {
  /** Of the tokens' issuer, 64 hex digits. */
  readonly seed: string;
  /** What a provisioner shows to the agent of a node. */
  readonly token: string;
  readonly provisionerPassword: string;
  readonly nodePassword: string;
}

export const nodeUser = 'node';

/** Those of the last start, or new ones. */
export function provideSecrets(folder: string): Secrets {
  const file = join(folder, 'secrets.json');
  if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as Secrets;
  const random = (bytes: number) => randomBytes(bytes).toString('hex');
  const secrets = { seed: random(32), token: random(16), provisionerPassword: random(16), nodePassword: random(16) };
  writeFileSync(file, JSON.stringify(secrets), { mode: 0o600 });
  return secrets;
}

/** Lines for the broker: where nodes without certificates connect. */
export function provisioningListener({ provisionerPassword, nodePassword, seed }: Secrets, port: number): string[] {
  return [
    `plugin.choria.network.provisioning.port = ${port}`,
    `plugin.choria.network.provisioning.client_password = ${provisionerPassword}`,
    `plugin.choria.network.provisioning.signer_cert = ${publicHex(keyFromSeed(seed))}`,
    `plugin.muster.broker.provisioning.node_user = ${nodeUser}`,
    `plugin.muster.broker.provisioning.node_password = ${nodePassword}`,
  ];
}

/** The token that every node is installed with. */
export async function writeToken(folder: string, { seed, token, nodePassword }: Secrets, port: number): Promise<string> {
  const file = join(folder, 'provisioning.jwt');
  const claims = {
    cht: token,
    chpd: true,
    chu: `127.0.0.1:${port}`,
    chusr: nodeUser,
    chpwd: nodePassword,
  };
  const text = await makeProvisioningToken({ claims, validitySeconds }, { algorithm: 'EdDSA', key: keyFromSeed(seed) });
  rmSync(file, { force: true });
  writeFileSync(file, text, { mode: 0o600 });
  return file;
}

export interface ProvisionerPlan {
  readonly folder: string;
  readonly authority: Authority;
  readonly port: number;
  readonly provisioningPort: number;
  readonly secrets: Secrets;
  /** Lines that every node gets; `{{identity}}` stands for its name. */
  readonly nodeSettings: readonly string[];
}

/** @returns its configuration file */
export async function writeProvisioner(plan: ProvisionerPlan): Promise<string> {
  const { folder, authority, port, provisioningPort, secrets, nodeSettings } = plan;
  const files = await issueFiles(authority, { commonName: 'provisioner.example.net' });
  const nodes = join(folder, 'authority/nodes');
  provideNodeAuthority(authority, nodes);
  const file = join(folder, 'provisioner.conf');
  rmSync(file, { force: true });
  return write(
    file,
    [
      ...security(files),
      'identity = provisioner.example.net',
      `plugin.choria.middleware_hosts = 127.0.0.1:${provisioningPort}`,
      `plugin.provisioner.overlay_hosts = 127.0.0.1:${port}`,
      `plugin.provisioner.broker_provisioning_password = ${secrets.provisionerPassword}`,
      `plugin.provisioner.token = ${secrets.token}`,
      `plugin.provisioner.jwt_verify_cert = ${publicHex(keyFromSeed(secrets.seed))}`,
      'plugin.provisioner.features.jwt = yes',
      'plugin.provisioner.features.pki = yes',
      'plugin.provisioner.hook = built-in-ca',
      `plugin.muster.ca.folder = ${nodes}`,
      `plugin.muster.provisioning.node_settings = ${write(join(folder, 'node-settings.conf'), nodeSettings)}`,
      `plugin.muster.state = ${join(folder, 'provisioner')}`,
      `logfile = ${join(folder, 'provisioner.log')}`,
    ],
    0o600,
  );
}
