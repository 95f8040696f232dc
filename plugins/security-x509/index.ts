// Protocol v1 security as a plugin: opens and seals messages on a node, signs and unseals them on a client.

import { type KeyObject, sign, verify } from 'node:crypto';
import { definePlugin, PluginError } from '../../core/sdk/typescript/index.ts';
import { WireError } from '../wire/errors.ts';
import { digestOf, withHop } from '../wire/message-parts.ts';
import { Tally } from '../wire/message-tally.ts';
import { decodePayload } from '../wire/rpc.ts';
import {
  insecure,
  type OpenOptions,
  type Payloads,
  type ReplyToSeal,
  type RequestToSign,
  signerAgent,
} from '../wire/security-params.ts';
import { callerName } from '../wire/subjects.ts';
import {
  readRequest,
  readSecureReply,
  readSecureRequest,
  readTransport,
  secureReplyText,
  secureRequestText,
  transportBytes,
} from '../wire/v1/messages.ts';
import { compilePatterns, readCertificates, TrustStore } from './certificates.ts';
import { Countersigner } from './countersign.ts';
import { identityOfUser, signElsewhere, textFor, whoIsLoggedIn, wrapped } from './elsewhere.ts';
import { type Credentials, locate, type Role, readAuthorities, readCredentials, type SecurityConfig } from './identity.ts';

const maxReason = 200;

interface Signer {
  readonly key: KeyObject;
  readonly pem: string;
  readonly callerid: string;
}

export default definePlugin({
  kind: 'security',
  version: '1.0.0',
  create: (host) => {
    const config = host.config as SecurityConfig;
    const tally = new Tally(1);
    let trust: TrustStore | undefined;
    const signing = new Map<Role, Signer>();
    const countersigner = new Countersigner(config, process.env);

    const trustStore = (): TrustStore => {
      trust ??= createTrust(config, locate(config, 'server', process.env));
      return trust;
    };
    const signer = (role: Role): Signer => {
      const known = signing.get(role);
      if (known) return known;
      const credentials = locate(config, role, process.env);
      const { privateKey, pem } = readCredentials(credentials);
      const made = { key: privateKey, pem, callerid: `choria=${credentials.certname}` };
      signing.set(role, made);
      return made;
    };

    const signedIn = () => whoIsLoggedIn(host, config);

    return {
      methods: {
        'security/identity': async ({ role }: { role: Role }) => {
          const who = role === 'client' ? await signedIn() : undefined;
          if (who) return identityOfUser(config, process.env, who);
          const found = identity(locate(config, role, process.env));
          // A node that has started can verify, and tells of a CA that is of no use before it does.
          if (role === 'server') trustStore();
          return found;
        },
        'security/open': ({ messages, from = 'callers', unsigned }: Payloads & OpenOptions) => ({
          results: messages.map(({ payload }) =>
            attempt(tally, () => open(payload, trustStore, { ofNodes: from === 'nodes', unsigned })),
          ),
        }),
        'security/seal': ({ replies }: { replies: readonly ReplyToSeal[] }) => ({ messages: replies.map(seal) }),
        'security/sign': async ({ requests, role = 'client' }: { requests: readonly RequestToSign[]; role?: Role }) => {
          const who = role === 'client' ? await signedIn() : undefined;
          if (who) return { messages: await signElsewhere(host, requests, who.callerid) };
          const { key, pem, callerid } = signer(role);
          return { messages: requests.map((request) => signRequest(request, key, pem, callerid)) };
        },
        'security/countersign': async ({ requests }: { requests: readonly string[] }) => ({
          secure: await countersigner.sign(requests),
        }),
        'security/unseal': ({ messages }: Payloads) => ({
          results: messages.map(({ payload }) => attempt(tally, () => unseal(payload))),
        }),
      },
      activate: async () => {
        if (Number(host.config['plugin.choria.stats_port']) > 0) await host.metrics.onCollect(() => tally.tell(host));
      },
    };
  },
});

function identity(credentials: Credentials) {
  const { certificate } = readCredentials(credentials);
  const { identity: name, certname, cert, key, ca } = credentials;
  return {
    identity: name,
    certname,
    callerid: `choria=${certname}`,
    tls: { cert, key, ca },
    expires: new Date(certificate.validTo).toISOString(),
  };
}

function createTrust(config: SecurityConfig, credentials: Credentials): TrustStore {
  const roots = readCertificates(readAuthorities(credentials));
  if (roots.length === 0) throw new PluginError('UNAVAILABLE', `${credentials.ca} holds no certificate`);
  return new TrustStore({
    roots,
    allowed: compilePatterns(config['plugin.choria.security.certname_whitelist'] ?? []),
    privileged: compilePatterns(config['plugin.choria.security.privileged_users'] ?? []),
  });
}

/** A message that can't be read is a result like any other. */
function attempt<T extends object>(
  tally: Tally,
  read: () => T,
): (T & { ok: true }) | { ok: false; code: string; reason: string } {
  try {
    const result = read();
    tally.add();
    return { ok: true, ...result };
  } catch (error) {
    // What is wrong with this plugin is told to the caller.
    if (error instanceof PluginError) throw error;
    // One message must not take those with it that came beside it.
    const { code, message } =
      error instanceof WireError
        ? error
        : { code: 'WIRE_BODY' as const, message: `it could not be read: ${(error as Error).message.slice(0, maxReason)}` };
    tally.add(code);
    return { ok: false, code, reason: message };
  }
}

function open(
  payload: Uint8Array,
  trust: () => TrustStore,
  { ofNodes, unsigned }: { readonly ofNodes: boolean; readonly unsigned: string | undefined },
) {
  const { data, headers } = readTransport(payload);
  const secure = readSecureRequest(data);
  const isUnsigned = secure.pubcert === insecure || secure.signature === insecure;
  if (isUnsigned && unsigned === undefined) throw new WireError('WIRE_UNSIGNED', 'the request is not signed');
  const request = readRequest(secure.message);
  if (isUnsigned && request.agent !== unsigned) throw new WireError('WIRE_UNSIGNED', 'the request is not signed');
  if (!isUnsigned) checkSigned(secure, request, trust(), ofNodes);
  return {
    request: { version: 1, ...request, body: decodePayload(request.body), digest: digestOf(secure.message) },
    transport: headers,
  };
}

function checkSigned(
  secure: ReturnType<typeof readSecureRequest>,
  request: ReturnType<typeof readRequest>,
  trust: TrustStore,
  ofNodes: boolean,
): void {
  const name = callerName(request.caller);
  if (name === undefined)
    throw new WireError('WIRE_CALLER', `'${request.caller.slice(0, 60)}' is no caller id such as choria=name`);
  if (ofNodes && name !== request.sender)
    throw new WireError(
      'WIRE_CALLER',
      `${request.caller} tells of the node ${request.sender.slice(0, 60)}, which is not its own name`,
    );
  const key = trust.verify(secure.pubcert, name, Date.now(), { anybody: ofNodes });
  if (!verify('sha256', Buffer.from(secure.message), key, Buffer.from(secure.signature, 'base64'))) {
    throw new WireError(
      'WIRE_SIGNATURE',
      `the signature of ${request.caller} does not belong to this request; it was altered, or signed with another key`,
    );
  }
}

function seal({ id, agent, sender, body, seenBy = [], federation, server }: ReplyToSeal) {
  const data = secureReplyText({ id, sender, agent, body, time: Math.floor(Date.now() / 1000) });
  // Hops and federation are returned only to those who came through a federation.
  const hops = federation ? withHop(seenBy, server ?? '', sender) : server === undefined ? [] : withHop([], server, sender);
  return { payload: transportBytes(data, { replyTo: '', sender, seenBy: hops, ...(federation && { federation }) }) };
}

function signRequest(request: RequestToSign, key: KeyObject, pem: string, callerid: string) {
  const message = textFor(request, callerid);
  const data =
    request.agent === signerAgent
      ? secureRequestText(message, insecure, insecure)
      : secureRequestText(message, sign('sha256', Buffer.from(message), key).toString('base64'), pem);
  return wrapped(request, data);
}

function unseal(payload: Uint8Array) {
  const { data, headers } = readTransport(payload);
  const reply = readSecureReply(data);
  if (headers.sender !== '' && headers.sender !== reply.sender)
    throw new WireError('WIRE_BODY', `the reply of ${reply.sender} came in the name of ${headers.sender}`);
  return { reply };
}
