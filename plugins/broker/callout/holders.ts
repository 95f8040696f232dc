// Users and nodes who show a token in place of a certificate: the token has to be good, and its holder has to have the key.

import { verify } from 'node:crypto';
import { fitsSubject } from '../../wire/subjects.ts';
import { type TrustAnchors, verifyClientToken } from '../../wire/tokens/client.ts';
import { publicFromHex } from '../../wire/tokens/ed25519.ts';
import { TokenError } from '../../wire/tokens/errors.ts';
import { ed25519Verification, readUnverified, readVerificationKey } from '../../wire/tokens/jwt.ts';
import { endOf, verifyServerToken } from '../../wire/tokens/server.ts';
import { clientPermissions, type Permissions, serverPermissions } from './permissions.ts';
import type { RevokedHolders } from './revoked.ts';
import { type Asked, type Grant, type Grants, RefusedError } from './service.ts';

type Config = Readonly<Record<string, unknown>>;

export interface HolderTrust {
  readonly clients: TrustAnchors;
  readonly servers: TrustAnchors;
}

const issuersKey = 'plugin.security.issuer.names';
const clientKey = 'plugin.choria.network.client_signer_cert';
const serverKey = 'plugin.choria.network.server_signer_cert';

/** Organizations, or signers of users and of nodes. @returns undefined if nobody is trusted. @throws TokenError naming the key */
export function readHolderTrust(config: Config): HolderTrust | undefined {
  const list = (key: string) => (config[key] ?? []) as readonly string[];
  const names = list(issuersKey);
  const [clients, servers] = [list(clientKey), list(serverKey)];
  if (names.length > 0) {
    if (clients.length + servers.length > 0)
      throw new TokenError(
        'TOKEN_KEY',
        `${issuersKey} and ${clients.length > 0 ? clientKey : serverKey} exclude each other; set one`,
      );
    const issuers = new Map(names.map((name) => [name, ed25519Verification(publicFromHex(issuerKey(config, name)))]));
    return { clients: { issuers }, servers: { issuers } };
  }
  if (clients.length + servers.length === 0) return undefined;
  return { clients: { signers: clients.map(readVerificationKey) }, servers: { signers: servers.map(readVerificationKey) } };
}

function issuerKey(config: Config, name: string): string {
  const hex = config[`plugin.security.issuer.${name}.public`];
  if (typeof hex === 'string') return hex;
  throw new TokenError('TOKEN_KEY', `the issuer ${name} has no key; set plugin.security.issuer.${name}.public`);
}

/** Where a connection is let in. */
export interface Entrance {
  /** Account that everybody belongs to. */
  readonly account: string;
  /** JetStream domain of the fleet's broker: what is asked of its API, or put into a bucket, goes there under another subject, which is what is checked. */
  readonly domain: string;
}

/** Who was let in, and whose token was revoked. */
export type Holders = Pick<RevokedHolders, 'reason' | 'granted' | 'ended'>;

export function holderGrants(trust: HolderTrust, entrance: Entrance, holders: Holders): Grants {
  return {
    size: 0,
    ended: (server, connection) => holders.ended(server, connection),
    grant: async (asked) => {
      const { auth_token: token = '' } = asked.connect_opts;
      if (token === '') throw new RefusedError('there is no token; log in with `muster login`');
      const { purpose } = await readUnverified(token);
      if (purpose === 'choria_client_id') return ofClient(token, asked, { trust: trust.clients, entrance, holders });
      if (purpose === 'choria_server') return ofServer(token, asked, { trust: trust.servers, entrance, holders });
      throw new RefusedError(`a token of purpose ${JSON.stringify(purpose)?.slice(0, 40) ?? 'none'} lets nobody in here`);
    },
  };
}

interface Judge {
  readonly trust: TrustAnchors;
  readonly entrance: Entrance;
  readonly holders: Holders;
}

async function ofClient(token: string, asked: Asked, { trust, entrance, holders }: Judge): Promise<Grant> {
  const claims = await verifyClientToken(token, trust);
  checkProof(asked, claims.public_key);
  checkPlain('ou', claims.ou);
  const reason = holders.reason(claims);
  if (reason !== undefined) throw new RefusedError(`the token was revoked${reason === '' ? '' : `: ${reason.slice(0, 80)}`}`);
  holders.granted(asked.server_id.id, asked.client_info.id, claims);
  return { name: claims.callerid, expires: endOf(claims), ...at(entrance, clientPermissions(claims)) };
}

async function ofServer(token: string, asked: Asked, { trust, entrance, holders }: Judge): Promise<Grant> {
  const claims = await verifyServerToken(token, trust);
  checkProof(asked, claims.public_key);
  checkPlain('identity', claims.identity);
  for (const collective of claims.collectives) checkPlain('collective', collective);
  checkPlain('ou', claims.ou);
  holders.granted(asked.server_id.id, asked.client_info.id, undefined);
  return { name: claims.identity, expires: endOf(claims), ...at(entrance, serverPermissions(claims)) };
}

/** What becomes a part of subjects must not stand for those of others. @throws RefusedError */
function checkPlain(claim: string, value = 'choria'): void {
  if (!fitsSubject(value)) throw new RefusedError(`the ${claim} of the token is none that fits into a subject`);
}

function at({ account, domain }: Entrance, { publish, subscribe, denied = [] }: Permissions) {
  const [api, buckets, prefix] = ['$JS.API.', '$KV.', `$JS.${domain}.API.`];
  const everywhere = (subjects: readonly string[]) => [
    ...subjects,
    ...subjects.flatMap((subject) =>
      subject.startsWith(api)
        ? [`${prefix}${subject.slice(api.length)}`]
        : subject.startsWith(buckets)
          ? [`${prefix}${subject}`]
          : [],
    ),
  ];
  return { account, subscribe, publish: everywhere(publish), denied: everywhere(denied) };
}

/** @throws RefusedError unless the broker's nonce was signed with the token's key */
function checkProof({ connect_opts: { sig = '' }, client_info: { nonce = '' } }: Asked, publicKey: string): void {
  const signature = Buffer.from(sig, 'base64url');
  if (nonce === '' || signature.length === 0)
    throw new RefusedError('the connection is not signed with the key that the token is for');
  if (!verify(null, Buffer.from(nonce), publicFromHex(publicKey), signature))
    throw new RefusedError('the connection was signed with another key than that of the token');
}
