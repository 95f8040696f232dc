// Who this machine or user is by token and seed (provider `choria`).

import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { PluginError } from '../../core/sdk/typescript/index.ts';
import { machineIdentity } from '../wire/identity.ts';
import { publicHex } from '../wire/tokens/ed25519.ts';
import { TokenError } from '../wire/tokens/errors.ts';
import { readSigningKey, readUnverified, type SigningKey, trimmed } from '../wire/tokens/jwt.ts';
import { endOf } from '../wire/tokens/server.ts';

export interface SecurityConfig {
  readonly identity?: string;
  readonly 'plugin.security.choria.token_file'?: string;
  readonly 'plugin.security.choria.seed_file'?: string;
  readonly 'plugin.security.choria.certificate'?: string;
  readonly 'plugin.security.choria.key'?: string;
  readonly 'plugin.security.choria.ca'?: string;
  readonly 'plugin.security.choria.trusted_signers'?: readonly string[];
  readonly 'plugin.security.choria.sign_replies'?: boolean;
  readonly 'plugin.security.issuer.names'?: readonly string[];
  readonly 'plugin.muster.revocations'?: boolean;
  readonly 'plugin.choria.security.request_signer.url'?: readonly string[];
  readonly 'plugin.choria.security.request_signer.service'?: boolean;
}

export type Role = 'server' | 'client';

export interface Credentials {
  readonly identity: string;
  /** Of a client the claim, of a node its name. */
  readonly callerid: string;
  readonly token: string;
  readonly seedFile: string;
  readonly key: SigningKey;
  /** When the token ends, in seconds since 1970. */
  readonly ends?: number;
}

/** Reads token and seed. @throws PluginError naming the file and what to do */
export async function readCredentials(config: SecurityConfig, role: Role): Promise<Credentials> {
  const identity = machineIdentity(config.identity);
  const tokenFile = config['plugin.security.choria.token_file'];
  if (tokenFile === undefined)
    throw unavailable('plugin.security.choria.token_file is not set; the security provider choria needs it');
  const seedFile = config['plugin.security.choria.seed_file'] ?? seedBeside(tokenFile);
  const token = read(tokenFile, role);
  try {
    const claims = await readUnverified(token);
    const key = readSigningKey(seedFile);
    if (key.algorithm !== 'EdDSA' || publicHex(key.key) !== claims.public_key)
      throw unavailable(`the seed ${seedFile} does not belong to the token ${tokenFile}`);
    const ends = endOf(claims as { exp?: number; issexp?: number });
    return {
      identity,
      callerid: callerOf(claims, role, identity, tokenFile),
      token,
      seedFile,
      key,
      ...(ends !== undefined && { ends }),
    };
  } catch (error) {
    if (error instanceof TokenError) throw unavailable(`${tokenFile}: ${error.message}`, error);
    throw error;
  }
}

/** As Choria has it: what follows the last dot of the file's name becomes `key`. */
export function seedBeside(tokenFile: string): string {
  const extension = extname(tokenFile);
  const name = tokenFile.slice(tokenFile.lastIndexOf('/') + 1);
  // Go counts a leading dot as the beginning of an extension, Node does not.
  if (extension === '' && name.startsWith('.')) return `${tokenFile.slice(0, tokenFile.length - name.length)}.key`;
  return `${extension === '' ? tokenFile : tokenFile.slice(0, -extension.length)}.key`;
}

function callerOf(claims: Readonly<Record<string, unknown>>, role: Role, identity: string, file: string): string {
  if (role === 'client') {
    if (claims.purpose === 'choria_client_id' && typeof claims.callerid === 'string') return claims.callerid;
    throw unavailable(`${file} is no token of a user; log in with \`muster login\``);
  }
  if (claims.purpose !== 'choria_server' || typeof claims.identity !== 'string')
    throw unavailable(`${file} is no token of a node`);
  if (claims.identity === identity) return identity;
  throw unavailable(
    `${file} is the token of ${claims.identity.slice(0, 80)}, and this node is called ${identity}; set \`identity\``,
  );
}

function read(file: string, role: Role): string {
  try {
    return trimmed(readFileSync(file, 'utf8'));
  } catch (error) {
    const how = role === 'client' ? '; log in with `muster login`' : '';
    throw unavailable(`the token ${file} can not be read: ${(error as Error).message}${how}`, error);
  }
}

function unavailable(message: string, cause?: unknown): PluginError {
  return new PluginError('UNAVAILABLE', message, { cause });
}
