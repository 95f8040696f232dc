// Security of a node that has neither certificate nor token of its own yet: requests are read and not verified, replies are
// hashed and not signed. It is protocol v1, or v2 where the provisioning token says so.

import { readFileSync } from 'node:fs';
import { definePlugin, type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { WireError } from '../wire/errors.ts';
import { machineIdentity } from '../wire/identity.ts';
import { digestOf, withHop } from '../wire/message-parts.ts';
import { decodePayload } from '../wire/rpc.ts';
import type { ReplyToSeal, RequestToSign } from '../wire/security-params.ts';
import { trimmed } from '../wire/tokens/jwt.ts';
import { readProvisioningToken } from '../wire/tokens/provisioning.ts';
import {
  readRequest,
  readSecureRequest,
  readTransport,
  requestText,
  secureReplyText,
  secureRequestText,
  transportBytes,
} from '../wire/v1/messages.ts';
import { openV2, sealV2 } from './v2.ts';

/** What Choria writes in place of a signature and of a certificate. */
const unsigned = 'insecure';
const maxReason = 200;
/** Later times can not be written as dates. */
const latestSeconds = 8e12;

export default definePlugin({
  kind: 'security',
  version: '1.0.0',
  create: (host) => {
    if (host.config['plugin.muster.provisioning.active'] !== true)
      throw new PluginError(
        'UNAVAILABLE',
        'security/provisioning verifies nothing and is for nodes in provisioning mode only; set plugin.muster.security to x509',
      );
    const isV2 = host.config['plugin.muster.provisioning.v2'] === true;
    return {
      methods: {
        'security/identity': () => identity(host),
        'security/open': ({ messages }: { messages: readonly { readonly payload: Uint8Array }[] }) => ({
          results: messages.map(({ payload }) => attempt(() => (isV2 ? openV2(payload) : open(payload)))),
        }),
        'security/seal': ({ replies }: { replies: readonly ReplyToSeal[] }) => ({
          messages: replies.map(isV2 ? sealV2 : seal),
        }),
        'security/sign': ({ requests }: { requests: readonly RequestToSign[] }) => {
          if (isV2)
            throw new PluginError(
              'UNAVAILABLE',
              'a node of protocol 2 that is not provisioned yet has no token to ask others with',
            );
          const callerid = `choria=${machineIdentity(host.config.identity as string | undefined)}`;
          return { messages: requests.map((request) => unsignedRequest(request, callerid)) };
        },
        'security/unseal': () => {
          throw new PluginError('UNAVAILABLE', 'security/provisioning reads no replies: it is for nodes');
        },
      },
    };
  },
});

async function identity({ config }: Host) {
  const name = machineIdentity(config.identity as string | undefined);
  const file = config['plugin.muster.provisioning.token'];
  return {
    identity: name,
    certname: name,
    callerid: `choria=${name}`,
    // It knows no authority yet that it could verify its broker by.
    ...(config['plugin.muster.provisioning.plaintext'] !== true && { tls: { rejectUnauthorized: false } }),
    ...(typeof file === 'string' && (await tokenIn(file))),
    expires: null,
  };
}

async function tokenIn(file: string): Promise<{ token: string; tokenExpires?: string }> {
  try {
    const token = trimmed(readFileSync(file, 'utf8'));
    const { exp } = await readProvisioningToken(token);
    return {
      token,
      ...(exp !== undefined && Math.abs(exp) < latestSeconds && { tokenExpires: new Date(exp * 1000).toISOString() }),
    };
  } catch (error) {
    throw new PluginError('UNAVAILABLE', `the provisioning token ${file} can not be read: ${(error as Error).message}`);
  }
}

/** A message that can't be read is a result like any other. */
function attempt<T extends object>(read: () => T): (T & { ok: true }) | { ok: false; code: string; reason: string } {
  try {
    return { ok: true, ...read() };
  } catch (error) {
    const { code, message } =
      error instanceof WireError
        ? error
        : { code: 'WIRE_BODY' as const, message: `it could not be read: ${(error as Error).message.slice(0, maxReason)}` };
    return { ok: false, code, reason: message };
  }
}

function open(payload: Uint8Array) {
  const { data, headers } = readTransport(payload);
  const { message } = readSecureRequest(data);
  const request = readRequest(message);
  return {
    request: { version: 1, ...request, body: decodePayload(request.body), digest: digestOf(message) },
    transport: headers,
  };
}

function seal({ id, agent, sender, body, server }: ReplyToSeal) {
  const data = secureReplyText({ id, sender, agent, body, time: Math.floor(Date.now() / 1000) });
  const seenBy = server === undefined ? [] : withHop([], server, sender);
  return { payload: transportBytes(data, { replyTo: '', sender, seenBy }) };
}

function unsignedRequest(request: RequestToSign, caller: string) {
  const { id, sender, collective, agent, ttl, filter, body, replyTo, server } = request;
  const time = Math.floor(Date.now() / 1000);
  const message = requestText({ id, sender, caller, collective, agent, ttl, time, filter, body });
  const data = secureRequestText(message, unsigned, unsigned);
  return { payload: transportBytes(data, { replyTo, sender, seenBy: withHop([], server ?? '', sender) }) };
}
