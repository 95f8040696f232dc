// Whether a request of protocol v2 comes from whom it says: signed by the caller himself, or by one who may sign for others.

import { verify } from 'node:crypto';
import { WireError } from '../wire/errors.ts';
import { digestOf } from '../wire/message-parts.ts';
import { decodePayload } from '../wire/rpc.ts';
import { insecure } from '../wire/security-params.ts';
import { callerName } from '../wire/subjects.ts';
import { type ClientClaims, callerOf } from '../wire/tokens/client.ts';
import { publicFromHex } from '../wire/tokens/ed25519.ts';
import { readRequest, readSecureRequest, readTransport, type SecureRequest } from '../wire/v2/messages.ts';
import type { RevokedTokens } from './revoked.ts';
import type { TokenTrust, Vouched } from './trust.ts';

const signatureBytes = 64;

export interface OpenParts {
  /** Asked for only where something has to be verified. */
  readonly trust: () => TokenTrust;
  /** An agent whose requests need no signature: what they hold proves itself. */
  readonly unsigned: string | undefined;
  /** Undefined where revoked tokens are not looked up. */
  readonly revoked: Pick<RevokedTokens, 'check'> | undefined;
}

/** @throws WireError saying what does not hold */
export async function openRequest(payload: Uint8Array, { trust, unsigned, revoked }: OpenParts, now = new Date()) {
  const { data, headers } = readTransport(payload);
  const secure = readSecureRequest(data);
  const request = readRequest(secure.request.toString('utf8'));
  const isUnsigned = secure.signature.toString('latin1') === insecure && request.agent === unsigned;
  const vouched = isUnsigned ? undefined : await checkSigned(secure, request.caller, trust(), now);
  const claims = vouched?.caller;
  if (claims) await revoked?.check(claims);
  if (vouched?.signer) await revoked?.check(vouched.signer);
  return {
    request: {
      version: 2,
      ...request,
      time: Math.floor(request.time),
      timeText: new Date(request.time * 1000).toISOString(),
      body: decodePayload(request.body),
      digest: digestOf(secure.request),
      ...(claims && { claims }),
    },
    transport: headers,
  };
}

/** What a node tells of itself, signed with the key that its own token is for. @throws WireError saying what does not hold */
export async function openOfNode(payload: Uint8Array, trust: TokenTrust, now = new Date()) {
  const { data, headers } = readTransport(payload);
  const { request: bytes, signature, caller: token, signer } = readSecureRequest(data);
  const request = readRequest(bytes.toString('utf8'));
  if (signer !== undefined) throw new WireError('WIRE_CALLER', 'nobody signs for a node');
  const { identity, public_key: key } = await trust.node(token, now);
  const who = identity.slice(0, 80);
  if (signature.length !== signatureBytes) throw new WireError('WIRE_UNSIGNED', 'the request is not signed');
  if (!verify(null, bytes, publicFromHex(key), signature))
    throw new WireError('WIRE_SIGNATURE', `the signature of the node ${who} does not belong to this request`);
  if (request.sender !== identity || request.caller !== identity)
    throw new WireError('WIRE_CALLER', `${who} tells of the node ${request.sender.slice(0, 60)}, which is not its own name`);
  return {
    request: {
      version: 2,
      ...request,
      time: Math.floor(request.time),
      body: decodePayload(request.body),
      digest: digestOf(bytes),
    },
    transport: headers,
  };
}

async function checkSigned(secure: SecureRequest, caller: string, trust: TokenTrust, now: Date): Promise<Vouched> {
  const vouched = await trust.vouch(secure.caller, secure.signer, now);
  checkSignature(secure, vouched);
  if (callerName(caller) === undefined)
    throw new WireError('WIRE_CALLER', `'${caller.slice(0, 60)}' is no caller id such as up=name`);
  checkCaller(caller, vouched);
  return vouched;
}

function checkSignature({ request, signature }: SecureRequest, { caller, signer }: Vouched): void {
  if (signer && signer.permissions?.authentication_delegator !== true)
    throw new WireError('WIRE_CALLER', `${signer.callerid.slice(0, 80)} may not sign for others (authentication_delegator)`);
  if (signature.length !== signatureBytes) throw new WireError('WIRE_UNSIGNED', 'the request is not signed');
  const by = signer ?? caller;
  if (!verify(null, request, publicFromHex(by.public_key), signature))
    throw new WireError(
      'WIRE_SIGNATURE',
      `the signature of ${by.callerid.slice(0, 80)} does not belong to this request; it was altered, or signed with another key`,
    );
}

/** What a token says of reaching nodes, and that nobody speaks for another. */
function checkCaller(requested: string, { caller, signer }: Vouched): void {
  const { fleet_management: alone, signed_fleet_management: signed } = caller.permissions ?? {};
  const who = caller.callerid.slice(0, 80);
  if (alone !== true && signed !== true)
    throw new WireError('WIRE_CALLER', `${who} may not reach nodes (fleet_management, signed_fleet_management)`);
  if (!signer && signed === true)
    throw new WireError('WIRE_CALLER', `${who} may reach nodes only by a signer (signed_fleet_management)`);
  // A signer that attaches the token of one to the request of another would have the wrong policy evaluated.
  if (!namesOf(caller, signer !== undefined).includes(requested))
    throw new WireError('WIRE_CALLER', `the request is in the name of ${requested.slice(0, 80)} and shows the token of ${who}`);
}

function namesOf(claims: ClientClaims, isDelegated: boolean): readonly string[] {
  return isDelegated ? [claims.callerid, callerOf(claims)] : [claims.callerid];
}
