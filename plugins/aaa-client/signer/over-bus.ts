// Signatures by the service agent aaa_signer, over the connection that the client has anyway.

import { type Host, PluginError } from '../../../core/sdk/typescript/index.ts';
import { emptyFilter } from '../../wire/filter.ts';
import { machineIdentity } from '../../wire/identity.ts';
import { newRequestId, readRpcReply, statusCodes } from '../../wire/rpc.ts';
import { defaultCollectives, securityPlugin } from '../../wire/security-plugin.ts';
import { replySubject, serviceSubject } from '../../wire/subjects.ts';
import type { SignerConfig } from './config.ts';
import { refusedError } from './refused.ts';
import { type LoggedIn, signatureOf } from './token.ts';

const agent = 'aaa_signer';
const connection = 'client';
const attemptMs = 10_000;

type Unsealed = { readonly ok: true; readonly reply: { readonly id: string; readonly body: string } } | { readonly ok: false };

/** @throws PluginError where it is refused, and where nobody answers in time */
export async function signOverBus(
  host: Host,
  config: SignerConfig,
  request: string,
  loggedIn: LoggedIn,
  signal: AbortSignal,
): Promise<string> {
  const id = newRequestId();
  const collective = config.main_collective ?? config.collectives?.[0] ?? defaultCollectives(config)[0] ?? 'mcollective';
  const replyTo = replySubject(collective, loggedIn.callerid, id);
  const data = { request, token: loggedIn.token, signature: signatureOf(request, loggedIn) };
  const outgoing = {
    id,
    agent,
    collective,
    ttl: config.ttl,
    filter: { ...emptyFilter, agent: [agent] },
    body: JSON.stringify({ agent, action: 'sign', data }),
    replyTo,
    sender: machineIdentity(config.identity),
  };
  const subscription = `signature:${id}`;
  const waiting = replyOf(host, config, id, signal);
  await host.bus.subscribe({ connection, id: subscription, subject: replyTo }, ({ payload }) => waiting.take(payload));
  try {
    const { messages } = (await host.plugins.call('security', securityPlugin(config), 'security/sign', {
      requests: [outgoing],
    })) as {
      messages: { payload: Uint8Array }[];
    };
    const [message] = messages;
    if (!message) throw new PluginError('CONTRACT', 'the security plugin made no request for the signer');
    await host.bus.publish({ connection, subject: serviceSubject(collective, agent), payload: message.payload });
    return readAnswer(await waiting.body);
  } finally {
    waiting.end();
    await host.bus.unsubscribe(subscription).catch(() => undefined);
  }
}

/** The first reply that belongs to the request. */
function replyOf(host: Host, config: SignerConfig, id: string, signal: AbortSignal) {
  let settle: (body: string) => void = () => undefined;
  let fail: (error: Error) => void = () => undefined;
  const body = new Promise<string>((resolve, reject) => {
    settle = resolve;
    fail = reject;
  });
  body.catch(() => undefined);
  const nobody = () =>
    fail(new PluginError('UNAVAILABLE', `no service signs requests now: ${agent} did not answer within ${attemptMs / 1_000} s`));
  const timer = setTimeout(nobody, attemptMs);
  const onAbort = () => fail(signal.reason as Error);
  signal.addEventListener('abort', onAbort, { once: true });
  const take = async (payload: Uint8Array): Promise<void> => {
    const { results } = (await host.plugins.call('security', securityPlugin(config), 'security/unseal', {
      messages: [{ payload }],
    })) as { results: Unsealed[] };
    const [unsealed] = results;
    if (unsealed?.ok && unsealed.reply.id === id) settle(unsealed.reply.body);
  };
  const end = () => {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  };
  return { body, take, end };
}

/** @throws PluginError */
function readAnswer(body: string): string {
  const { statuscode, statusmsg, data } = readRpcReply(body);
  const { secure_request: secure, reason } = (data ?? {}) as Readonly<Record<string, unknown>>;
  if (statuscode === statusCodes.ok && typeof secure === 'string' && secure !== '') return secure;
  throw refusedError(statusmsg || 'no reason given', reason);
}
