// The AAA service of an overlay, and two users of it: an operator with a list of actions, and one on call with a policy.

import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hash } from '@node-rs/argon2';
import { keyFromSeed, publicHex } from '../wire/tokens/ed25519.ts';
import { type Authority, issueFiles } from './ca.ts';
import { security, write } from './files.ts';
import { collectives, type Ports } from './prepare.ts';

interface Person {
  readonly name: string;
  readonly acls?: readonly string[];
  /** File below the samples of policies. */
  readonly policy?: string;
}

const people: readonly Person[] = [
  { name: 'olga', acls: ['rpcutil.*', 'host.*', 'uptime.*', 'webstack.*'] },
  { name: 'nils', policy: 'on-call.rego' },
];

export interface AaaUser {
  readonly name: string;
  /** Of a client that requests are signed for by the service. */
  readonly config: string;
  readonly passwordFile: string;
}

export interface AaaPlan {
  readonly config: string;
  readonly operator: AaaUser;
  readonly onCall: AaaUser;
  /** Audit log that shows when somebody changed it, and the key that it is signed with. */
  readonly chain: string;
  readonly chainKey: string;
}

export interface AaaParts {
  readonly folder: string;
  readonly authority: Authority;
  readonly ports: Ports;
  readonly bundles: string;
  /** Samples of policies. */
  readonly policies: string;
}

/** As nodes get to see them. */
export function callersOf(): string[] {
  return people.map(({ name }) => `up=${name}`);
}

export async function writeAaa(parts: AaaParts): Promise<AaaPlan> {
  const own = join(parts.folder, 'aaa');
  mkdirSync(own, { recursive: true, mode: 0o700 });
  const [loginKey, chainKey] = [provideKey(own, 'login'), provideKey(own, 'audit')];
  const chain = join(own, 'audit.chain');
  const users = await Promise.all(people.map((person) => writeUser(parts, own, person)));
  const [operator, onCall] = users;
  if (!operator || !onCall) throw new Error('there are two users');
  const usersFile = join(own, 'users.json');
  writeFileSync(usersFile, JSON.stringify(users.map(({ entry }) => entry)), { mode: 0o600 });
  const https = await issueFiles(parts.authority, { commonName: 'aaa.example.net', names: ['localhost', '127.0.0.1'] });
  const settings = {
    site: 'example',
    port: parts.ports.aaa,
    listen: '127.0.0.1',
    tls_certificate: https.cert,
    tls_key: https.key,
    authenticator: 'userlist',
    userlist_authenticator: { validity: '8h', users_file: usersFile, signing_key: loginKey.seed },
    signer: 'basicjwt',
    basicjwt_signer: { signing_certificate: loginKey.public, max_validity: '8h', choria_service: true },
    authorizer: 'aaasvc',
    auditors: ['chain'],
    chain_auditor: { logfile: chain, key: chainKey.seed },
  };
  const settingsFile = write(join(own, 'aaa.json'), [JSON.stringify(settings, null, 2)], 0o600);
  const config = await writeService(parts, own, settingsFile);
  return { config, operator, onCall, chain, chainKey: chainKey.public };
}

async function writeService({ folder, authority, ports, bundles }: AaaParts, own: string, settings: string): Promise<string> {
  // A name by which nodes know that it signs for others.
  const files = await issueFiles(authority, { commonName: 'aaa.privileged.mcollective' });
  return write(join(folder, 'aaa.conf'), [
    ...security(files),
    'identity = aaa.example.net',
    `collectives = ${collectives.join(',')}`,
    `plugin.choria.middleware_hosts = 127.0.0.1:${ports.fleet}`,
    `plugin.aaa.config = ${settings}`,
    `plugin.muster.bundles = ${bundles}`,
    `plugin.muster.state = ${join(own, 'state')}`,
    `logfile = ${join(folder, 'aaa.log')}`,
  ]);
}

async function writeUser(
  { folder, authority, ports, bundles, policies }: AaaParts,
  own: string,
  { name, acls, policy }: Person,
): Promise<AaaUser & { readonly entry: object }> {
  const passwordFile = join(own, `${name}.password`);
  if (!existsSync(passwordFile)) write(passwordFile, [randomBytes(12).toString('base64url')], 0o600);
  const entry = {
    username: name,
    password: await hash(readFileSync(passwordFile, 'utf8').trim()),
    ...(acls && { acls }),
    ...(policy !== undefined && { opa_policy: readFileSync(join(policies, policy), 'utf8') }),
    broker_permissions: { signed_fleet_management: true },
  };
  // The certificate is the machine's, for the connection; requests are made in the name of the token.
  const files = await issueFiles(authority, { commonName: 'jump.example.net' });
  const url = `https://localhost:${ports.aaa}/choria/v1`;
  const config = write(join(folder, `${name}.conf`), [
    ...security(files),
    'identity = jump.example.net',
    `collectives = ${collectives.join(',')}`,
    `plugin.choria.middleware_hosts = 127.0.0.1:${ports.fleet}`,
    `plugin.login.aaasvc.login.url = ${url}/login`,
    `plugin.choria.security.request_signer.url = ${url}/sign`,
    `plugin.choria.security.request_signer.token_file = ${join(own, `${name}.jwt`)}`,
    `plugin.muster.bundles = ${bundles}`,
  ]);
  return { name, config, passwordFile, entry };
}

/** The key of the last start, or a new one. */
function provideKey(folder: string, name: string): { readonly seed: string; readonly public: string } {
  const [seed, publicFile] = [join(folder, `${name}.seed`), join(folder, `${name}.public`)];
  if (!existsSync(seed)) writeFileSync(seed, randomBytes(32).toString('hex'), { mode: 0o600 });
  writeFileSync(publicFile, publicHex(keyFromSeed(readFileSync(seed, 'utf8'))));
  return { seed, public: publicFile };
}
