// Protocol v2 security as a plugin: opens and seals messages on a node, signs and unseals them on a client.

import { sign } from 'node:crypto';
import { definePlugin, type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { WireError } from '../wire/errors.ts';
import { withHop } from '../wire/message-parts.ts';
import { Tally } from '../wire/message-tally.ts';
import {
  insecure,
  type OpenOptions,
  type Payloads,
  type ReplyToSeal,
  type RequestToSign,
  signerAgent,
} from '../wire/security-params.ts';
import {
  readSecureReply,
  readTransport,
  replyText,
  requestText,
  secureReplyText,
  secureRequestText,
  transportBytes,
} from '../wire/v2/messages.ts';
import { Countersigner, type Delegator } from './countersign.ts';
import { isSignedElsewhere, signElsewhere } from './elsewhere.ts';
import { type Credentials, type Role, readCredentials, type SecurityConfig } from './identity.ts';
import { type OpenParts, openOfNode, openRequest } from './request.ts';
import { RevokedTokens } from './revoked.ts';
import { TokenTrust } from './trust.ts';

const maxReason = 200;
/** A client's look at its own token forgives this much of a clock that is off. */
const leewaySeconds = 5;

export default definePlugin({
  kind: 'security',
  version: '1.0.0',
  create: (host) => {
    const config = host.config as SecurityConfig;
    const tally = new Tally(2);
    const countersigner = new Countersigner();
    let trust: TokenTrust | undefined;
    let nodeCredentials: Promise<Credentials> | undefined;

    const tokens = (): TokenTrust => {
      trust ??= new TokenTrust(config);
      return trust;
    };
    const isFollowing = config['plugin.muster.revocations'] !== false;
    const revoked = isFollowing ? new RevokedTokens(host, () => tokens().anchors) : undefined;
    const ofNode = (): Promise<Credentials> => {
      nodeCredentials ??= readCredentials(config, 'server');
      nodeCredentials.catch(() => {
        nodeCredentials = undefined;
      });
      return nodeCredentials;
    };

    return {
      methods: {
        'security/identity': async ({ role }: { role: Role }) => {
          const credentials = await (role === 'server' ? ofNode() : usable(config));
          if (role === 'server' && tokens().isEmpty)
            throw new PluginError(
              'UNAVAILABLE',
              'nobody is trusted: set plugin.security.issuer.names, or plugin.security.choria.trusted_signers',
            );
          if (config['plugin.security.choria.ca'] === undefined)
            host.log.warn('the broker is not verified: plugin.security.choria.ca is not set');
          return identity(config, credentials);
        },
        'security/open': async ({ messages, from = 'callers', unsigned }: Payloads & OpenOptions) => ({
          results: await Promise.all(
            messages.map(({ payload }) =>
              attempt(tally, async () => openFor(from, payload, { trust: tokens, unsigned, revoked })),
            ),
          ),
        }),
        'security/seal': async ({ replies }: { replies: readonly ReplyToSeal[] }) => {
          const signer = (config['plugin.security.choria.sign_replies'] ?? true) ? await ofNode() : undefined;
          return { messages: replies.map((reply) => seal(reply, signer)) };
        },
        'security/sign': async ({ requests, role = 'client' }: { requests: readonly RequestToSign[]; role?: Role }) => {
          const credentials = await (role === 'server' ? ofNode() : usable(config));
          if (role === 'server' || !isSignedElsewhere(config))
            return { messages: requests.map((request) => signRequest(request, credentials)) };
          return { messages: await signByOther(host, requests, credentials) };
        },
        'security/countersign': async ({ requests, delegator }: { requests: readonly string[]; delegator?: Delegator }) => ({
          secure: await countersigner.sign(requests, delegator),
        }),
        'security/unseal': async ({ messages }: Payloads) => ({
          results: await Promise.all(messages.map(({ payload }) => attempt(tally, async () => unseal(payload)))),
        }),
      },
      activate: async () => {
        if (Number(host.config['plugin.choria.stats_port']) > 0) await host.metrics.onCollect(() => tally.tell(host));
      },
    };
  },
});

/** What a user has now: he may have logged in again. @throws PluginError for a token that has ended */
async function usable(config: SecurityConfig): Promise<Credentials> {
  const credentials = await readCredentials(config, 'client');
  const { ends } = credentials;
  if (ends === undefined || ends + leewaySeconds > Date.now() / 1000) return credentials;
  throw new PluginError(
    'UNAVAILABLE',
    `the token of ${credentials.callerid} ended at ${new Date(ends * 1000).toISOString()}; log in with \`muster login\``,
  );
}

function identity(config: SecurityConfig, { identity: name, callerid, token, seedFile, ends }: Credentials) {
  const { 'plugin.security.choria.certificate': cert, 'plugin.security.choria.key': key } = config;
  const ca = config['plugin.security.choria.ca'];
  const expires = ends === undefined ? null : new Date(ends * 1000).toISOString();
  return {
    identity: name,
    certname: name,
    callerid,
    tls: {
      ...(cert !== undefined && key !== undefined && { cert, key }),
      ...(ca === undefined ? { rejectUnauthorized: false } : { ca }),
    },
    token,
    seed: seedFile,
    expires,
    ...(expires !== null && { tokenExpires: expires }),
  };
}

/** A message that can't be read is a result like any other. */
async function attempt<T extends object>(
  tally: Tally,
  read: () => Promise<T>,
): Promise<(T & { ok: true }) | { ok: false; code: string; reason: string }> {
  try {
    const result = await read();
    tally.add();
    return { ok: true, ...result };
  } catch (error) {
    // What is wrong with this plugin is told to the caller.
    if (!(error instanceof WireError)) throw error;
    tally.add(error.code);
    return { ok: false, code: error.code, reason: error.message.slice(0, maxReason) };
  }
}

function openFor(from: 'callers' | 'nodes', payload: Uint8Array, parts: OpenParts) {
  return from === 'callers' ? openRequest(payload, parts) : openOfNode(payload, parts.trust());
}

function seal({ id, agent, sender, body, seenBy = [], federation, server }: ReplyToSeal, signer: Credentials | undefined) {
  const reply = replyText({ id, sender, agent, body, time: Date.now() / 1000 });
  const signed = signer && { signature: sign(null, Buffer.from(reply), signer.key.key), sender: signer.token };
  // Hops and federation are returned only to those who came through a federation.
  const hops = federation ? withHop(seenBy, server ?? '', sender) : server === undefined ? [] : withHop([], server, sender);
  const headers = { replyTo: '', sender, seenBy: hops, ...(federation && { federation }) };
  return { payload: transportBytes(secureReplyText(reply, signed), headers) };
}

function signRequest(request: RequestToSign, { callerid, token, key }: Credentials) {
  const text = Buffer.from(textFor(request, callerid));
  const signature = request.agent === signerAgent ? Buffer.from(insecure) : sign(null, text, key.key);
  return wrapped(request, secureRequestText({ request: text, signature, caller: token }));
}

/** The call of the signer itself proves itself by what it holds. */
async function signByOther(host: Host, requests: readonly RequestToSign[], credentials: Credentials) {
  const others = requests.filter(({ agent }) => agent !== signerAgent);
  const texts = others.map((request) => textFor(request, credentials.callerid));
  const signed = await signElsewhere(host, texts, credentials.token);
  return requests.map((request) => {
    const at = others.indexOf(request);
    return at === -1 ? signRequest(request, credentials) : wrapped(request, signed[at] ?? '');
  });
}

function textFor(
  { replyTo: _replyTo, server: _server, federation: _federation, ...fields }: RequestToSign,
  caller: string,
): string {
  return requestText({ ...fields, caller, time: Date.now() / 1000 });
}

function wrapped({ replyTo, sender, server, federation }: RequestToSign, data: string) {
  const headers = { replyTo, sender, seenBy: withHop([], server ?? '', sender), ...(federation && { federation }) };
  return { payload: transportBytes(data, headers) };
}

function unseal(payload: Uint8Array) {
  const { data, headers } = readTransport(payload);
  const reply = readSecureReply(data);
  if (headers.sender !== '' && headers.sender !== reply.sender)
    throw new WireError('WIRE_BODY', `the reply of ${reply.sender} came in the name of ${headers.sender}`);
  return { reply };
}
