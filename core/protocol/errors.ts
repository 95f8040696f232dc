// The errors that cross the wire: a number for JSON-RPC, a stable string for people and programs.

import type { ErrorBody, Params } from './messages.ts';

/** Stable string codes and their numbers on the wire. */
export const errorCodes = {
  PARSE: -32700,
  INVALID: -32600,
  UNKNOWN_METHOD: -32601,
  INVALID_PARAMS: -32602,
  INTERNAL: -32603,
  BUSY: -32001,
  DEADLINE: -32002,
  NOT_GRANTED: -32003,
  GONE: -32004,
  DEPTH: -32005,
  CONTRACT: -32006,
  TOO_LARGE: -32007,
  NOT_FOUND: -32008,
  UNAVAILABLE: -32009,
  CANCELLED: -32800,
} as const;

export type ErrorCode = keyof typeof errorCodes;

const retryableCodes: ReadonlySet<string> = new Set<ErrorCode>(['BUSY', 'GONE', 'UNAVAILABLE']);
const codesByNumber = new Map<number, ErrorCode>(Object.entries(errorCodes).map(([code, number]) => [number, code as ErrorCode]));

/** An error that a peer sent or is to be sent. `code` is stable; `number` is what JSON-RPC carries. */
export class PluginError extends Error {
  override readonly name = 'PluginError';
  readonly code: string;
  readonly number: number;
  readonly data: Params;

  constructor(
    code: ErrorCode | { code: string; number: number },
    message: string,
    options: { data?: Params; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = typeof code === 'string' ? code : code.code;
    this.number = typeof code === 'string' ? errorCodes[code] : code.number;
    this.data = options.data ?? {};
  }

  /** A process may hold two copies of this module, the host's and a package's own; an error of either is one. */
  static override [Symbol.hasInstance](value: unknown): boolean {
    return value instanceof Error && value.name === 'PluginError' && 'number' in value;
  }

  /** Whether the same call may succeed later without any change. */
  get retryable(): boolean {
    return retryableCodes.has(this.code);
  }

  /** Milliseconds after which a retry makes sense, if the other side told. */
  get retryAfterMs(): number | undefined {
    const value = this.data.retryAfterMs;
    return typeof value === 'number' ? value : undefined;
  }
}

/** The wire form of whatever a handler threw. Foreign errors keep their message and lose their stack. */
export function toErrorBody(error: unknown): ErrorBody {
  if (error instanceof PluginError)
    return { code: error.number, message: error.message, data: { ...error.data, code: error.code } };
  const message = error instanceof Error ? error.message : String(error);
  return { code: errorCodes.INTERNAL, message, data: { code: 'INTERNAL' } };
}

/** The error that a wire form stands for. */
export function fromErrorBody(body: ErrorBody): PluginError {
  const { code: stated, ...data } = (body.data ?? {}) as { code?: unknown } & Params;
  const code = typeof stated === 'string' ? stated : (codesByNumber.get(body.code) ?? 'INTERNAL');
  return new PluginError({ code, number: body.code }, body.message, { data });
}
