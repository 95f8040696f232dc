// The commands `muster aaa revoke`, `revoked` and `restore`: tokens that end before their time, as whoever issues them states.

import { existsSync, readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { type Bucket, definePlugin, type Host, printable } from '../../core/sdk/typescript/index.ts';
import { type BrokerConfig, findBrokers } from '../wire/brokers.ts';
import { parseDuration } from '../wire/duration.ts';
import { ownConnection } from '../wire/own-connection.ts';
import type { Issuer } from '../wire/tokens/chain.ts';
import { readClientToken } from '../wire/tokens/client.ts';
import { TokenError } from '../wire/tokens/errors.ts';
import { createRevocations } from '../wire/tokens/follow-revocations.ts';
import {
  chainKeyOf,
  hasEnded,
  makeRevocation,
  type Revocation,
  revocationKey,
  speaker,
  verifyRevocation,
} from '../wire/tokens/revocation.ts';
import { revocationBucket } from '../wire/tokens/revocations.ts';
import { connection } from './connect.ts';
import { type Revokers, readRevokers, revokersOf } from './revokers.ts';

interface Options {
  readonly user?: string;
  readonly key?: string;
  readonly id?: string;
  readonly reason?: string;
  readonly validity?: string;
  readonly organization?: string;
  readonly signingKey?: string;
  readonly signingToken?: string;
  readonly json?: boolean;
}

interface Params {
  readonly command: readonly string[];
  readonly arguments: { readonly what?: string };
  readonly options: Options;
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
        const desk = { host, options, revokers: await openRevokers(host, options), bucket: await openBucket(host) };
        if (action === 'revoked') return list(desk);
        if (!meant) throw new RevokeError('nothing was named');
        return action === 'restore' ? restore(desk, meant) : revoke(desk, meant);
      },
    },
  }),
});

interface Desk {
  readonly host: Host;
  readonly options: Options;
  readonly revokers: Revokers;
  readonly bucket: Bucket;
}

interface Meant extends Pick<Revocation, 'kind' | 'value'> {
  /** Of the token that was shown. */
  readonly of?: { readonly iss?: string | undefined; readonly ou?: string | undefined };
}

interface Entry {
  readonly key: string;
  readonly revocation: Revocation;
}

/** @throws RevokeError where there is no key to sign with, and what is wrong with the files */
async function openRevokers(host: Host, { signingKey, signingToken }: Options): Promise<Revokers> {
  const file = host.config['plugin.aaa.config'] as string | undefined;
  if (signingKey !== undefined) return readRevokers([{ keys: [signingKey], token: signingToken }], []);
  if (signingToken !== undefined) throw new RevokeError('--signing-token belongs to --signing-key, which is not given');
  const revokers = file === undefined ? undefined : await revokersOf(file);
  if (revokers && revokers.issuers.length > 0) return revokers;
  const where = file === undefined ? 'plugin.aaa.config is not set' : `${file} takes no logins`;
  throw new RevokeError(
    `revocations are signed with the key that tokens are issued with, and there is none: ${where}; use the configuration of the AAA service by --config, or name the key by --signing-key`,
  );
}

async function openBucket(host: Host): Promise<Bucket> {
  const { spec } = await ownConnection(host, 'client', 'aaa');
  const { urls, ordered } = await findBrokers(host.config as unknown as BrokerConfig, process.env);
  await host.bus.open({ connection, servers: urls, keepOrder: ordered, ...spec });
  const bucket = host.kv.bucket(connection, revocationBucket);
  await createRevocations(bucket, host.config['plugin.muster.aaa.replicas'] as number);
  return bucket;
}

/** A token by its file or its text, or one of the options. @throws RevokeError, TokenError */
async function whatIsMeant(what: string | undefined, { user, key, id }: Options): Promise<Meant> {
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
  const { public_key, iss, ou } = await readClientToken(text);
  return { kind: 'public_key', value: public_key, of: { iss, ou } };
}

async function revoke(desk: Desk, meant: Meant) {
  const { options, host, bucket } = desk;
  const { reason, validity, json } = options;
  const now = Math.floor(Date.now() / 1000);
  const ms = validity === undefined ? undefined : parseDuration(validity);
  if (validity !== undefined && ms === undefined)
    throw new RevokeError(`--validity: '${validity}' is no duration such as 12h or 30d`);
  const entries = await readAll(desk);
  const made = await Promise.all(
    issuersFor(desk, meant).map((issuer) =>
      state(desk, entries.known, issuer, {
        action: 'revoke',
        ...meant,
        issuedUntil: meant.kind === 'callerid' ? now : undefined,
        until: ms === undefined ? undefined : now + Math.ceil(ms / 1000),
        reason,
      }),
    ),
  );
  for (const key of entries.ended) await bucket.delete(key);
  // Several issuers say the same.
  for (const one of made.slice(0, 1))
    await host.terminal.write(json ? `${JSON.stringify(shown(one), null, 2)}\n` : `Revoked: ${printable(describe(one))}\n`);
  return { exitCode: 0 };
}

/** Those whose word reaches the token: who issued it, or an organization by its own key. @throws RevokeError if there is none */
function issuersFor({ revokers }: Desk, { of }: Meant): readonly Issuer[] {
  if (!of) return revokers.issuers;
  const able = revokers.issuers.filter(({ chain }) => !chain || chain.public_key === chainKeyOf(of.iss));
  if (able.length > 0) return able;
  throw new RevokeError(
    'the token was issued by another than those whose keys are here; name the key of its issuer by --signing-key and --signing-token, or that of the organization',
  );
}

type Stated = Pick<Revocation, 'action' | 'kind' | 'value'> & {
  readonly of?: Meant['of'];
  readonly ou?: string;
  readonly issuedUntil?: number | undefined;
  readonly until?: number | undefined;
  readonly reason?: string | undefined;
};

async function state({ bucket, options, revokers }: Desk, known: readonly Entry[], issuer: Issuer, stated: Stated) {
  const { kind, value, action, of, issuedUntil, until, reason } = stated;
  const ou = stated.ou ?? options.organization ?? of?.ou ?? 'choria';
  const key = revocationKey({ kind, value, ...speaker(issuer, ou) });
  const after = known.find((entry) => entry.key === key)?.revocation.seq;
  const by = userInfo().username;
  const text = Buffer.from(await makeRevocation({ action, kind, value, issuedUntil, until, reason, ou, by, after }, issuer));
  // What can not be verified here would count nowhere.
  const revocation = await verifyRevocation(text, revokers.trust);
  await bucket.put(key, text);
  return revocation;
}

async function restore(desk: Desk, meant: Meant) {
  const { host, revokers } = desk;
  const { known } = await readAll(desk);
  const revoked = known.filter(
    ({ revocation: { action, kind, value } }) => action === 'revoke' && kind === meant.kind && value === meant.value,
  );
  if (revoked.length === 0) throw new RevokeError(`${meant.kind} ${meant.value} is not revoked`);
  const pairs = revoked.flatMap(({ revocation }) => {
    const issuer = revokers.issuers.find(({ chain }) => chain?.public_key === chainKeyOf(revocation.iss));
    return issuer ? [{ issuer, revocation }] : [];
  });
  if (pairs.length === 0)
    throw new RevokeError(
      `${meant.kind} ${meant.value} was revoked by another; name his key by --signing-key and --signing-token`,
    );
  const { kind, value } = meant;
  for (const { issuer, revocation } of pairs)
    await state(desk, known, issuer, { action: 'restore', kind, value, ou: revocation.ou });
  if (pairs.length < revoked.length) host.log.warn(`${kind} ${value} stays revoked by another issuer as well`);
  await host.terminal.write(`Restored: ${printable(`${kind} ${value}`)}\n`);
  return { exitCode: 0 };
}

async function list(desk: Desk) {
  const { host, options } = desk;
  const { known, unknown } = await readAll(desk);
  const revoked = known.map(({ revocation }) => revocation).filter(({ action }) => action === 'revoke');
  revoked.sort((a, b) => b.seq - a.seq);
  if (unknown > 0)
    host.log.warn(`${unknown} entries of the bucket ${revocationBucket} are not signed by a key that is trusted here`);
  if (options.json) await host.terminal.write(`${JSON.stringify({ revoked: revoked.map(shown), unknown }, null, 2)}\n`);
  else if (revoked.length === 0) await host.terminal.write('No token is revoked.\n');
  else await host.terminal.write(`${revoked.map((one) => printable(describe(one))).join('\n')}\n`);
  return { exitCode: 0 };
}

async function readAll({ bucket, revokers }: Desk) {
  const known: Entry[] = [];
  const ended: string[] = [];
  let unknown = 0;
  for (const key of await bucket.keys()) {
    const entry = await bucket.get(key);
    if (!entry) continue;
    try {
      const revocation = await verifyRevocation(entry.value, revokers.trust);
      if (hasEnded(revocation, Date.now())) ended.push(key);
      else if (revocationKey(revocation) === key) known.push({ key, revocation });
      else unknown += 1;
    } catch (error) {
      if (error instanceof TokenError && error.code === 'TOKEN_EXPIRED') ended.push(key);
      else unknown += 1;
    }
  }
  return { known, ended, unknown };
}

function shown({ kind, value, issued_until, until, reason, by, iat, ou, iss }: Revocation) {
  const issuer = chainKeyOf(iss);
  return { kind, value, issued_until, until, reason, by, at: iat, ou, issuer };
}

const spelled: Readonly<Record<Revocation['kind'], string>> = {
  jti: 'the token',
  callerid: 'tokens of',
  public_key: 'tokens for the key',
};

function describe({ kind, value, issued_until, until, reason, by, iat }: Revocation): string {
  const issued = issued_until === undefined ? '' : `, issued until ${spellTime(issued_until)}`;
  const ends = until === undefined ? '' : `, ended by themselves at ${spellTime(until)}`;
  const why = reason === undefined ? '' : `: ${reason}`;
  return `${spelled[kind]} ${value}${issued}${ends} (${spellTime(iat)}${by === undefined ? '' : ` by ${by}`})${why}`;
}

function spellTime(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000Z', 'Z');
}
