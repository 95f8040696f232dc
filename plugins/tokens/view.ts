// `muster jwt view`: what a token says, for people and programs.

import { readFileSync } from 'node:fs';
import { type Host, printable } from '../../core/sdk/typescript/index.ts';
import { TokenError } from '../wire/tokens/errors.ts';
import { type Claims, readUnverified, readVerificationKey, verifyToken } from '../wire/tokens/jwt.ts';

export interface ViewOptions {
  readonly verify?: string;
  readonly showSecrets?: boolean;
  readonly json?: boolean;
}

const secrets: ReadonlySet<string> = new Set(['cht', 'chpwd']);
const masked = '********';
const times: ReadonlySet<string> = new Set(['exp', 'iat', 'nbf', 'issexp']);
/** What Choria's short names stand for. */
const meanings: Readonly<Record<string, string>> = {
  cht: 'secret of the provisioner',
  chs: 'messages are secure',
  chu: 'brokers',
  chsrv: 'domain of brokers',
  chpd: 'provisioned by default',
  chrd: 'registration data',
  chf: 'facts',
  chusr: 'user at the broker',
  chpwd: 'password at the broker',
  ou: 'organization',
  v2: 'protocol 2',
  update: 'may be updated',
  iss: 'issuer',
  sub: 'subject',
  exp: 'good until',
  nbf: 'good from',
  iat: 'made at',
  jti: 'id',
};

export async function viewToken(
  host: Host,
  file: string,
  { verify, showSecrets = false, json = false }: ViewOptions,
): Promise<{ exitCode: number }> {
  const text = read(file);
  const claims = shown(await readUnverified(text), showSecrets);
  const problem = verify === undefined ? undefined : await problemOf(text, verify);
  const verified = verify !== undefined && problem === undefined;
  if (json) await host.terminal.write(`${JSON.stringify({ verified, ...(problem && { problem }), claims }, null, 2)}\n`);
  else await host.terminal.write(`${table(claims)}\n${verdict(verify, problem, claims)}\n`);
  return { exitCode: problem === undefined ? 0 : 1 };
}

async function problemOf(text: string, keyName: string): Promise<string | undefined> {
  const key = readVerificationKey(keyName);
  try {
    await verifyToken(text, key);
    return undefined;
  } catch (error) {
    if (error instanceof TokenError) return error.message;
    throw error;
  }
}

function shown(claims: Claims, showSecrets: boolean): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(claims).map(([key, value]) => [key, secrets.has(key) && value !== '' && !showSecrets ? masked : value]),
  );
}

function table(claims: Claims): string {
  const rows = Object.entries(claims).map(([key, value]) => [
    meanings[key] ? `${meanings[key]} (${key})` : key,
    text(key, value),
  ]);
  const width = Math.max(...rows.map(([title = '']) => title.length));
  return rows.map(([title = '', value = '']) => `  ${printable(title).padStart(width)}: ${printable(value)}`).join('\n');
}

function text(key: string, value: unknown): string {
  if (times.has(key) && typeof value === 'number' && Math.abs(value) < 8e12) return new Date(value * 1_000).toISOString();
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function verdict(verify: string | undefined, problem: string | undefined, { exp }: Claims): string {
  if (problem !== undefined) return `Not good: ${problem}`;
  if (verify !== undefined) return 'Signed by this key, and good now';
  const hasExpired = typeof exp === 'number' && exp * 1_000 <= Date.now();
  return `Not verified: name the key of its issuer with --verify${hasExpired ? '; it has expired' : ''}`;
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new TokenError('TOKEN_FORMAT', `${file} can not be read: ${(error as Error).message}`, { cause: error });
  }
}
