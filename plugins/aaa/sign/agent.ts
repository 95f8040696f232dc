// The service agent aaa_signer on the fleet's own network. Its callers have no certificates: the call itself is unsigned, and
// the token and signature inside it prove what they hold.

import type { BusMessage, Host } from '../../../core/sdk/typescript/index.ts';
import { WireError } from '../../wire/errors.ts';
import { ageAllowed, type RpcRequest, readRpcRequest, rpcReplyBody, statusCodes } from '../../wire/rpc.ts';
import { mayReplyTo, serviceSubject } from '../../wire/subjects.ts';
import type { SignCall, Signed } from './signer.ts';

export const signerAgent = 'aaa_signer';

/** Calls that wait; a client gives up after ten seconds. */
const limit = 4_096;

interface OpenedRequest {
  readonly id: string;
  readonly agent: string;
  readonly time: number;
  readonly ttl: number;
  readonly body: string;
}

interface Transport {
  readonly replyTo: string;
  readonly seenBy: readonly (readonly string[])[];
  readonly federation?: object;
}

type Opened = { readonly ok: true; readonly request: OpenedRequest; readonly transport: Transport } | { readonly ok: false };

export interface AgentParts {
  readonly host: Host;
  readonly connection: string;
  readonly security: string;
  readonly identity: string;
  readonly collectives: readonly string[];
  readonly sign: (call: SignCall) => Promise<Signed>;
}

export async function serveSignerAgent(parts: AgentParts): Promise<void> {
  const { host, connection, collectives } = parts;
  for (const collective of collectives) {
    const subject = serviceSubject(collective, signerAgent);
    await host.bus.subscribe(
      { connection, id: `${signerAgent}:${collective}`, subject, queue: signerAgent, limit },
      (message) => accept(message, parts),
      (count) =>
        host.log.warn(`${count} calls of ${signerAgent} were dropped, since more came than can be signed; run another instance`),
    );
  }
}

async function accept({ payload }: BusMessage, parts: AgentParts): Promise<void> {
  const { host, security } = parts;
  const { results } = (await host.plugins.call('security', security, 'security/open', {
    messages: [{ payload }],
    unsigned: signerAgent,
  })) as { results: Opened[] };
  const [opened] = results;
  // Whoever sends what can't be read is nobody that could be answered.
  if (!opened?.ok) return;
  const { request, transport } = opened;
  if (request.agent !== signerAgent || !mayReplyTo(transport.replyTo)) return;
  if (!ageAllowed(Math.floor(Date.now() / 1000), request.time, request.ttl)) return;
  await reply(parts, request, transport, await answer(request.body, parts));
}

async function answer(body: string, { sign }: AgentParts): Promise<string> {
  let rpc: RpcRequest;
  try {
    rpc = readRpcRequest(body);
  } catch (error) {
    if (!(error instanceof WireError)) throw error;
    return rpcReplyBody(refused('', statusCodes.invalidData, 'the body of the call is no RPC request'));
  }
  const { agent, action, data } = rpc;
  if (agent !== signerAgent) return rpcReplyBody(denied());
  if (action !== 'sign')
    return rpcReplyBody(refused(action, statusCodes.unknownAction, `Unknown action for agent ${signerAgent}; it has sign`));
  const call = readCall(data);
  if (typeof call === 'string') return rpcReplyBody(refused(action, statusCodes.invalidData, call));
  const signed = await sign(call);
  if ('secure' in signed)
    return rpcReplyBody({ action, statuscode: statusCodes.ok, statusmsg: 'OK', data: { secure_request: signed.secure } });
  return rpcReplyBody(denied(signed.reason));
}

/** Choria's clients read `secure_request` whatever the status. */
function denied(reason?: string) {
  const data = { secure_request: '', ...(reason !== undefined && { reason }) };
  return { action: 'sign', statuscode: statusCodes.aborted, statusmsg: 'Request Denied', data };
}

function refused(action: string, statuscode: number, statusmsg: string) {
  return { action, statuscode, statusmsg, data: {} };
}

/** The DDL's limits on length and characters would refuse honest requests: tokens hold policies, and filters hold `<`. */
function readCall(data: unknown): SignCall | string {
  if (typeof data !== 'object' || data === null || Array.isArray(data)) return 'the data of the call must be an object';
  const { request = '', token = '', signature = '' } = data as Record<string, unknown>;
  for (const [name, value] of Object.entries({ request, token, signature }))
    if (typeof value !== 'string') return `${name} must be a string`;
  return { request: String(request), token: String(token), signature: String(signature) };
}

async function reply(
  { host, security, identity, connection }: AgentParts,
  { id }: OpenedRequest,
  { replyTo, seenBy, federation }: Transport,
  body: string,
): Promise<void> {
  const { server } = await host.bus.info(connection);
  const sealed = {
    id,
    agent: signerAgent,
    sender: identity,
    body,
    seenBy,
    ...(federation && { federation }),
    ...(server !== undefined && { server }),
  };
  const { messages } = (await host.plugins.call('security', security, 'security/seal', { replies: [sealed] })) as {
    messages: { payload: Uint8Array }[];
  };
  const [message] = messages;
  if (message) await host.bus.publish({ connection, subject: replyTo, payload: message.payload });
}
