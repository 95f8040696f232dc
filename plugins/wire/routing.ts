// The routing headers of a transport, of both protocol versions: what a federation reads and rewrites on the way. The data,
// which is what is signed, is passed on as it came.

import { WireError } from './errors.ts';
import { maxMessageBytes } from './message-parts.ts';

/** What the versions call the same headers. */
const namesByProtocol = {
  'choria:transport:1': {
    replyTo: 'reply-to',
    hops: 'seen-by',
    request: 'req',
    originalReplyTo: 'reply-to',
    targets: 'target',
  },
  'io.choria.protocol.v2.transport': {
    replyTo: 'reply',
    hops: 'trace',
    request: 'request',
    originalReplyTo: 'reply',
    targets: 'targets',
  },
} as const;

/** How a message goes on: the federation header, the subject of its reply, the hops so far. */
export interface Routing {
  /** Empty on replies. */
  readonly replyTo: string;
  /** [broker in, who passed it on, broker out] */
  readonly hops: readonly (readonly string[])[];
  readonly federation?: {
    readonly request: string;
    /** Where the client waits, while the reply subject is one of the federation's. */
    readonly replyTo: string;
    /** Final subjects. */
    readonly targets: readonly string[];
  };
}

type Names = (typeof namesByProtocol)[keyof typeof namesByProtocol];
type Fields = Readonly<Record<string, unknown>>;

/** A transport whose routing can be changed, and nothing else of it. */
export class RoutedMessage {
  readonly routing: Routing;
  readonly #transport: Fields;
  readonly #headers: Fields;
  readonly #names: Names;

  /** @throws WireError for bytes that are no transport of a known version */
  constructor(payload: Uint8Array) {
    this.#transport = readObject(payload);
    const { protocol, data, headers = {} } = this.#transport;
    if (!isKnownProtocol(protocol))
      throw new WireError(
        'WIRE_VERSION',
        `the transport is of protocol ${JSON.stringify(protocol)?.slice(0, 60) ?? 'none'}; known are ${Object.keys(namesByProtocol).join(', ')}`,
      );
    if (typeof data !== 'string' || !isObject(headers))
      throw new WireError('WIRE_SCHEMA', 'the transport has no data, or headers that are no object');
    this.#names = namesByProtocol[protocol];
    this.#headers = headers;
    this.routing = readRouting(headers, this.#names);
  }

  /** The bytes of this message with another routing. */
  withRouting({ replyTo, hops, federation }: Routing): Uint8Array {
    const names = this.#names;
    const { [names.replyTo]: _replyTo, [names.hops]: _hops, federation: _federation, ...others } = this.#headers;
    const headers = {
      ...others,
      ...(replyTo !== '' && { [names.replyTo]: replyTo }),
      ...(hops.length > 0 && { [names.hops]: hops }),
      ...(federation && {
        federation: {
          [names.request]: federation.request,
          ...(federation.replyTo !== '' && { [names.originalReplyTo]: federation.replyTo }),
          ...(federation.targets.length > 0 && { [names.targets]: federation.targets }),
        },
      }),
    };
    return Buffer.from(JSON.stringify({ ...this.#transport, headers }));
  }
}

function isKnownProtocol(protocol: unknown): protocol is keyof typeof namesByProtocol {
  return typeof protocol === 'string' && Object.hasOwn(namesByProtocol, protocol);
}

function readRouting(headers: Fields, names: Names): Routing {
  const { federation } = headers;
  return {
    replyTo: text(headers[names.replyTo]),
    hops: list(headers[names.hops]).filter(isHop),
    ...(isObject(federation) && {
      federation: {
        request: text(federation[names.request]),
        replyTo: text(federation[names.originalReplyTo]),
        targets: list(federation[names.targets]).filter(isText),
      },
    }),
  };
}

function readObject(payload: Uint8Array): Fields {
  if (payload.length > maxMessageBytes)
    throw new WireError('WIRE_TOO_LARGE', `the message has ${payload.length} bytes, at most ${maxMessageBytes} are read`);
  const source = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8');
  let value: unknown;
  try {
    value = JSON.parse(source);
  } catch {
    throw new WireError('WIRE_NOT_JSON', `the transport is not JSON, or was cut off: ${source.slice(0, 60)}`);
  }
  if (!isObject(value)) throw new WireError('WIRE_SCHEMA', 'the transport is no object');
  return value;
}

function isHop(value: unknown): value is string[] {
  return Array.isArray(value) && value.every(isText);
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isText(value: unknown): value is string {
  return typeof value === 'string';
}

function text(value: unknown): string {
  return isText(value) ? value : '';
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
