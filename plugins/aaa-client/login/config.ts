// Where somebody logs in, who vouches for that place, and where his token and its key lie.

import { existsSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, parse } from 'node:path';
import { LoginError } from './errors.ts';
import type { Tls } from './http.ts';

export interface LoginConfig {
  readonly 'plugin.login.aaasvc.login.url'?: readonly string[];
  readonly 'plugin.choria.security.request_signer.token_file'?: string;
  readonly 'plugin.choria.security.request_signer.seed_file'?: string;
  readonly 'plugin.security.choria.token_file'?: string;
  readonly 'plugin.security.choria.seed_file'?: string;
  readonly 'plugin.security.choria.ca'?: string;
  readonly 'plugin.security.provider'?: string;
  readonly 'plugin.security.file.ca'?: string;
  readonly 'plugin.choria.ssldir'?: string;
  readonly 'plugin.muster.login.ca'?: string;
  readonly 'plugin.muster.login.certificate'?: string;
  readonly 'plugin.muster.login.key'?: string;
}

export interface LoginFiles {
  readonly token: string;
  readonly seed: string;
}

const passwordPath = '/choria/v1/login';

/** @throws LoginError `LOGIN_CONFIG` */
export function filesOf(config: LoginConfig): LoginFiles {
  const token = config['plugin.security.choria.token_file'] ?? config['plugin.choria.security.request_signer.token_file'];
  if (!token)
    throw new LoginError(
      'LOGIN_CONFIG',
      'there is no place for a token; set plugin.choria.security.request_signer.token_file, such as ~/.choria/client.jwt',
    );
  const seed = config['plugin.security.choria.seed_file'] ?? config['plugin.choria.security.request_signer.seed_file'];
  return { token, seed: seed || besideToken(token) };
}

/** The token's path with `.key` for its extension, which begins at the last dot of its name, also of a name that begins with it. */
function besideToken(token: string): string {
  const { dir, base } = parse(token);
  const dot = base.lastIndexOf('.');
  return join(dir, `${dot === -1 ? base : base.slice(0, dot)}.key`);
}

/** Of logins with a password. @throws LoginError `LOGIN_CONFIG` */
export function loginUrls(config: LoginConfig): readonly URL[] {
  const texts = (config['plugin.login.aaasvc.login.url'] ?? []).map((text) => text.trim()).filter((text) => text !== '');
  if (texts.length === 0)
    throw new LoginError(
      'LOGIN_CONFIG',
      'nothing says where to log in; set plugin.login.aaasvc.login.url, such as https://aaa.example.net:8443/choria/v1/login',
    );
  return texts.map((text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url && (url.protocol === 'https:' || url.protocol === 'http:')) return url;
    throw new LoginError('LOGIN_CONFIG', `plugin.login.aaasvc.login.url names '${text}', which is no URL with http or https`);
  });
}

/** Muster's own calls stand beside Choria's; where the URL is another, there are none. */
export function musterUrls(urls: readonly URL[], path: string): readonly URL[] {
  return urls
    .filter(({ pathname }) => pathname.endsWith(passwordPath))
    .map((url) => {
      const own = new URL(url);
      own.pathname = url.pathname.slice(0, -passwordPath.length) + path;
      return own;
    });
}

/** @throws LoginError `LOGIN_CONFIG` for a file that is named and can not be read */
export function tlsOf(config: LoginConfig): Tls {
  const own = config['plugin.muster.login.ca'];
  const usual = own ?? providerCa(config);
  const { 'plugin.muster.login.certificate': certificate, 'plugin.muster.login.key': key } = config;
  return {
    ca: own !== undefined || existsSync(usual) ? read(usual) : undefined,
    cert: certificate && read(certificate),
    key: key && read(key),
  };
}

/** What the security provider trusts, as Choria's login does it. */
function providerCa(config: LoginConfig): string {
  const provider = config['plugin.security.provider'];
  if (provider === 'choria') return config['plugin.security.choria.ca'] ?? '';
  if (provider === 'file') return config['plugin.security.file.ca'] ?? '';
  const root = process.getuid?.() === 0 ? '/etc/puppetlabs/puppet/ssl' : join(homedir(), '.puppetlabs/etc/puppet/ssl');
  return join(config['plugin.choria.ssldir'] ?? root, 'certs/ca.pem');
}

export function folderOf({ token }: LoginFiles): string {
  return dirname(token);
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new LoginError('LOGIN_CONFIG', `a file for the login can not be read: ${(error as Error).message}`, { cause: error });
  }
}
