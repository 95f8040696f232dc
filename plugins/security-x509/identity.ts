// Who this machine or user is, and which files prove it (providers `file` and `puppet`).

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { PluginError } from '../../core/sdk/typescript/index.ts';
import { machineIdentity } from '../wire/identity.ts';

export interface SecurityConfig {
  readonly identity?: string;
  readonly 'plugin.security.provider'?: string;
  readonly 'plugin.security.file.certificate'?: string;
  readonly 'plugin.security.file.key'?: string;
  readonly 'plugin.security.file.ca'?: string;
  readonly 'plugin.choria.ssldir'?: string;
  readonly 'plugin.choria.security.certname_whitelist'?: readonly string[];
  readonly 'plugin.choria.security.privileged_users'?: readonly string[];
  readonly 'plugin.security.client_anon_tls'?: boolean;
  readonly 'plugin.choria.security.request_signer.url'?: readonly string[];
  readonly 'plugin.choria.security.request_signer.service'?: boolean;
}

export type Role = 'server' | 'client';

export interface Credentials {
  readonly identity: string;
  readonly certname: string;
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** The names and files by the provider's rules; nothing is read yet. */
export function locate(config: SecurityConfig, role: Role, environment: NodeJS.ProcessEnv): Credentials {
  const identity = machineIdentity(config.identity);
  const certname = certnameOf(config, role, identity, environment);
  if (config['plugin.security.provider'] === 'file') {
    return {
      identity,
      certname,
      cert: need(config, 'plugin.security.file.certificate'),
      key: need(config, 'plugin.security.file.key'),
      ca: need(config, 'plugin.security.file.ca'),
    };
  }
  const ssl =
    config['plugin.choria.ssldir'] ??
    (process.getuid?.() === 0 ? '/etc/puppetlabs/puppet/ssl' : join(homedir(), '.puppetlabs/etc/puppet/ssl'));
  return {
    identity,
    certname,
    cert: join(ssl, 'certs', `${certname}.pem`),
    key: join(ssl, 'private_keys', `${certname}.pem`),
    ca: join(ssl, 'certs/ca.pem'),
  };
}

function certnameOf(config: SecurityConfig, role: Role, identity: string, environment: NodeJS.ProcessEnv): string {
  if (environment.MCOLLECTIVE_CERTNAME) return environment.MCOLLECTIVE_CERTNAME;
  const user = environment.USER;
  const isRoot = process.getuid?.() === 0;
  if (config['plugin.security.provider'] === 'file')
    return !isRoot && user && role === 'client' ? `${user}.mcollective` : identity;
  return role === 'client' && user ? `${user}.mcollective` : identity;
}

/** Reads certificate and key and checks that they belong together. @throws PluginError naming file and key */
export function readCredentials(credentials: Credentials): {
  certificate: X509Certificate;
  pem: string;
  privateKey: ReturnType<typeof createPrivateKey>;
} {
  const pem = read(credentials.cert, 'certificate');
  const keyPem = read(credentials.key, 'private key');
  const certificate = parse(credentials.cert, () => new X509Certificate(pem));
  const privateKey = parse(credentials.key, () => createPrivateKey(keyPem));
  if (!certificate.checkPrivateKey(privateKey))
    throw new PluginError(
      'UNAVAILABLE',
      `the private key ${credentials.key} does not belong to the certificate ${credentials.cert}`,
    );
  return { certificate, pem, privateKey };
}

/** The text of the CA file. @throws PluginError naming file and key */
export function readAuthorities({ ca }: Credentials): string {
  return read(ca, 'CA');
}

function need(
  config: SecurityConfig,
  key: 'plugin.security.file.certificate' | 'plugin.security.file.key' | 'plugin.security.file.ca',
): string {
  const value = config[key];
  if (value === undefined) throw new PluginError('UNAVAILABLE', `${key} is not set; the security provider file needs it`);
  return value;
}

function read(file: string, what: string): string {
  if (!existsSync(file))
    throw new PluginError(
      'UNAVAILABLE',
      `the ${what} ${file} does not exist; set plugin.security.file.* or plugin.choria.ssldir to where it is`,
    );
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new PluginError('UNAVAILABLE', `the ${what} ${file} cannot be read: ${(error as Error).message}`);
  }
}

function parse<T>(file: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    throw new PluginError('UNAVAILABLE', `${file} is not what it should be: ${(error as Error).message}`);
  }
}
