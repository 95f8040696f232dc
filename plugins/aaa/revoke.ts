// The commands `muster aaa revoke`, `revoked` and `restore`: tokens that end before their time.

import { existsSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { type Bucket, definePlugin, type Host, printable } from '../../core/sdk/typescript/index.ts';
import { type BrokerConfig, findBrokers } from '../wire/brokers.ts';
import { parseDuration } from '../wire/duration.ts';
import { ownConnection } from '../wire/own-connection.ts';
import { readClientToken } from '../wire/tokens/client.ts';
import {
  createRevocations,
  hasEnded,
  type Revocation,
  readRevocation,
  revocationBucket,
  revocationKey,
} from '../wire/tokens/revocations.ts';
import { connection } from './connect.ts';

interface Params {
  readonly command: readonly string[];
  readonly arguments: { readonly what?: string };
  readonly options: {
    readonly user?: string;
    readonly key?: string;
    readonly id?: string;
    readonly reason?: string;
    readonly validity?: string;
    readonly json?: boolean;
  };
}

class RevokeError extends Error {
  override readonly name = 'RevokeError';
  readonly code = 'REVOKE';
}

export default definePlugin({
  kind: 'command',
  version: '1.0.0',
  create: (host) => ({
    methods: {
      'command/run': async ({ command, arguments: given, options }: Params) => {
        const action = command.at(-1);
        const meant = action === 'revoked' ? undefined : await whatIsMeant(given.what, options);
        const bucket = await openBucket(host);
        if (action === 'revoked') return list(host, bucket, options.json === true);
        if (!meant) throw new RevokeError('nothing was named');
        return action === 'restore' ? restore(host, bucket, meant) : revoke(host, bucket, meant, options);
      },
    },
  }),
});

type Meant = Pick<Revocation, 'kind' | 'value'>;

async function openBucket(host: Host): Promise<Bucket> {
  const { spec } = await ownConnection(host, 'client', 'aaa');
  const { urls, ordered } = await findBrokers(host.config as unknown as BrokerConfig, process.env);
  await host.bus.open({ connection, servers: urls, keepOrder: ordered, ...spec });
  const bucket = host.kv.bucket(connection, revocationBucket);
  await createRevocations(bucket, host.config['plugin.muster.aaa.replicas'] as number);
  return bucket;
}

/** A token by its file or its text, or one of the options. @throws RevokeError, TokenError */
async function whatIsMeant(what: string | undefined, { user, key, id }: Params['options']): Promise<Meant> {
  const named = [what, user, key, id].filter((value) => value !== undefined);
  if (named.length !== 1) throw new RevokeError('name one: a file with a token, --user, --key or --id');
  if (user !== undefined) {
    if (!/^[a-z]+=./.test(user)) throw new RevokeError(`'${user}' is no caller id such as up=anna`);
    return { kind: 'callerid', value: user };
  }
  if (key !== undefined) {
    if (!/^[0-9a-f]{64}$/.test(key)) throw new RevokeError('a public key has 64 hex digits in lower case');
    return { kind: 'public_key', value: key };
  }
  if (id !== undefined) return { kind: 'jti', value: id };
  const text = what !== undefined && existsSync(what) ? readFileSync(what, 'utf8') : String(what);
  // Whoever has it may have had it refreshed, and the tokens that came of it have other ids. Each login has a key of its own.
  const { public_key } = await readClientToken(text);
  return { kind: 'public_key', value: public_key };
}

async function revoke(host: Host, bucket: Bucket, { kind, value }: Meant, { reason, validity, json }: Params['options']) {
  const now = Math.floor(Date.now() / 1000);
  const ms = validity === undefined ? undefined : parseDuration(validity);
  if (validity !== undefined && ms === undefined)
    throw new RevokeError(`--validity: '${validity}' is no duration such as 12h or 30d`);
  const until = ms === undefined ? undefined : now + Math.ceil(ms / 1000);
  const revocation: Revocation = {
    kind,
    value,
    ...(kind === 'callerid' && { issued_until: now }),
    ...(until !== undefined && { until }),
    ...(reason !== undefined && { reason }),
    by: userInfo().username,
    at: now,
  };
  await bucket.put(revocationKey(revocation), Buffer.from(JSON.stringify(revocation)));
  await dropEnded(bucket);
  await host.terminal.write(json ? `${JSON.stringify(revocation, null, 2)}\n` : `Revoked: ${printable(describe(revocation))}\n`);
  return { exitCode: 0 };
}

async function restore(host: Host, bucket: Bucket, meant: Meant) {
  const key = revocationKey(meant);
  if (!(await bucket.get(key))) throw new RevokeError(`${meant.kind} ${meant.value} is not revoked`);
  await bucket.delete(key);
  await host.terminal.write(`Restored: ${printable(`${meant.kind} ${meant.value}`)}\n`);
  return { exitCode: 0 };
}

async function list(host: Host, bucket: Bucket, json: boolean) {
  const revocations = (await all(bucket)).map(([, revocation]) => revocation).filter((one) => !hasEnded(one, Date.now()));
  revocations.sort((a, b) => b.at - a.at);
  if (json) await host.terminal.write(`${JSON.stringify({ revoked: revocations }, null, 2)}\n`);
  else if (revocations.length === 0) await host.terminal.write('No token is revoked.\n');
  else await host.terminal.write(`${revocations.map((one) => printable(describe(one))).join('\n')}\n`);
  return { exitCode: 0 };
}

/** The tokens that they mean have ended by themselves. */
async function dropEnded(bucket: Bucket): Promise<void> {
  for (const [key, revocation] of await all(bucket)) if (hasEnded(revocation, Date.now())) await bucket.delete(key);
}

async function all(bucket: Bucket): Promise<[string, Revocation][]> {
  const keys = await bucket.keys();
  const entries = await Promise.all(keys.map(async (key) => [key, await bucket.get(key)] as const));
  return entries.flatMap(([key, entry]) => {
    const revocation = entry && readRevocation(entry.value);
    return revocation ? [[key, revocation] as [string, Revocation]] : [];
  });
}

const spelled: Readonly<Record<Revocation['kind'], string>> = {
  jti: 'the token',
  callerid: 'tokens of',
  public_key: 'tokens for the key',
};

function describe({ kind, value, issued_until, until, reason, by, at }: Revocation): string {
  const issued = issued_until === undefined ? '' : `, issued until ${spellTime(issued_until)}`;
  const ends = until === undefined ? '' : `, ended by themselves at ${spellTime(until)}`;
  const why = reason === undefined ? '' : `: ${reason}`;
  return `${spelled[kind]} ${value}${issued}${ends} (${spellTime(at)}${by === undefined ? '' : ` by ${by}`})${why}`;
}

function spellTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}
