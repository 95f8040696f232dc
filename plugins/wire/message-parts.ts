// What both protocol versions do with text: parse it, hold it against its schema, encode, hash.

import { hash, timingSafeEqual } from 'node:crypto';
import { WireError } from './errors.ts';
import { type Filter, maxFilterCharacters, weighFilter } from './filter.ts';

/** Largest message that is looked at; brokers refuse more than 1 MiB by default. */
export const maxMessageBytes = 4 * 1024 * 1024;

/** The JSON of a transport, and the protocol that it says it is of. @throws WireError `WIRE_TOO_LARGE`, `WIRE_NOT_JSON` */
export function parseTransport(payload: Uint8Array): { readonly value: unknown; readonly protocol: unknown } {
  if (payload.length > maxMessageBytes)
    throw new WireError('WIRE_TOO_LARGE', `the message has ${payload.length} bytes, at most ${maxMessageBytes} are read`);
  const value = parseJson(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8'), 'transport');
  return { value, protocol: typeof value === 'object' && value !== null && 'protocol' in value ? value.protocol : undefined };
}

export function versionError(protocol: unknown, read: string): WireError {
  return new WireError(
    'WIRE_VERSION',
    `the transport is of protocol ${JSON.stringify(protocol)?.slice(0, 60) ?? 'none'}; this node reads ${read}`,
  );
}

/** @param what name of the text for people. @throws WireError `WIRE_NOT_JSON` */
export function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw new WireError('WIRE_NOT_JSON', `the ${what} is not JSON, or was cut off: ${text.slice(0, 60)}`);
  }
}

export function schemaError(
  what: string,
  errors: readonly { instancePath: string; message?: string | undefined }[] | null | undefined,
): WireError {
  const first = errors?.[0];
  return new WireError(
    'WIRE_SCHEMA',
    `the ${what} does not fit its schema: ${first?.instancePath.slice(1).replaceAll('/', '.') || what} ${first?.message ?? 'is not valid'}`,
  );
}

/** @throws WireError `WIRE_TOO_LARGE` */
export function checkWeight(filter: Filter): void {
  const weight = weighFilter(filter);
  if (weight > maxFilterCharacters)
    throw new WireError(
      'WIRE_TOO_LARGE',
      `the filter of the request has ${weight} characters, at most ${maxFilterCharacters} are looked at`,
    );
}

/** @throws WireError `WIRE_ENCODING` */
export function decodeBase64(text: string, what: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  // Buffer skips what is no base64; a truncated or altered text must not pass for a shorter one.
  if (Math.ceil(bytes.length / 3) * 4 !== text.length)
    throw new WireError('WIRE_ENCODING', `the ${what} is not base64, or was cut off`);
  return bytes;
}

/** The hops with the one that is added by whoever publishes. */
export function withHop(
  seenBy: readonly (readonly string[])[],
  server: string,
  identity: string,
): readonly (readonly string[])[] {
  return [...seenBy, [server, identity, server]];
}

/** Lower-case hex SHA-256 over text that was signed; names these very bytes. */
export function digestOf(text: string | Uint8Array): string {
  return hash('sha256', text, 'hex');
}

/** SHA-256 in base64. */
export function hashOf(text: string | Uint8Array): string {
  return hash('sha256', text, 'base64');
}

export function equalText(a: string, b: string): boolean {
  const [left, right] = [Buffer.from(a), Buffer.from(b)];
  return left.length === right.length && timingSafeEqual(left, right);
}
