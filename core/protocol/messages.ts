// The words of the plugin protocol, version 1: message shapes and the methods that belong to the protocol itself.

export const protocolVersion = 1;

/** Longest line in bytes, without its newline, unless negotiated otherwise. */
export const defaultMaxLineBytes = 4 * 1024 * 1024;

/** How deep calls may nest before they are refused. */
export const maxDepth = 16;

export const lifecycle = {
  initialize: 'initialize',
  activate: 'activate',
  ping: 'ping',
  shutdown: 'shutdown',
} as const;

export const notifications = {
  cancel: '$/cancel',
  progress: '$/progress',
} as const;

/** The request by which a plugin calls a method of another one: `{kind, name, method, params}`. */
export const forwarded = 'plugins/call';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
export type Id = number | string;
export type Params = Readonly<Record<string, unknown>>;

/** What travels beside the params of a request. */
export interface Meta {
  /** Milliseconds that are left for this call. */
  readonly deadlineMs?: number;
  /** Trace id, passed on unchanged. */
  readonly trace?: string;
  /** How deep this call is nested, from 0. */
  readonly depth?: number;
  /** The announced plugin that is meant, for calls to a plugin that answers for others. */
  readonly plugin?: string;
}

export interface RequestMessage {
  readonly jsonrpc: '2.0';
  readonly id: Id;
  readonly method: string;
  readonly params: Params;
  readonly _meta?: Meta;
}

export interface NotificationMessage {
  readonly jsonrpc: '2.0';
  readonly method: string;
  readonly params: Params;
}

export interface ErrorBody {
  readonly code: number;
  readonly message: string;
  readonly data?: Params;
}

export interface ResponseMessage {
  readonly jsonrpc: '2.0';
  readonly id: Id | null;
  readonly result?: unknown;
  readonly error?: ErrorBody;
}

export type Message = RequestMessage | NotificationMessage | ResponseMessage;

/** Params of `initialize`. */
export interface InitializeParams {
  readonly protocol: { readonly min: number; readonly max: number };
  readonly host: { readonly name: string; readonly version: string };
  readonly bundle: string;
  readonly plugin: string;
  readonly kind: string;
  readonly config: Params;
  readonly capabilities: Params;
  readonly stateFolder: string | null;
  readonly limits: { readonly maxLineBytes: number };
  readonly bytes: BytePaths;
}

/** Result of `initialize`. */
export interface InitializeResult {
  readonly protocol: number;
  readonly version: string;
  readonly activates?: boolean;
  readonly limits?: { readonly maxLineBytes?: number };
}

/** Where bytes are: method, then part, then paths from the root of that part; `*` stands for every array element. */
export type BytePaths = Readonly<
  Record<string, Partial<Record<'params' | 'result' | 'progress', readonly (readonly string[])[]>>>
>;

/** What a received value is, or undefined if it is no message at all. */
export function classify(value: unknown): 'request' | 'notification' | 'response' | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const message = value as { id?: unknown; method?: unknown; params?: unknown; error?: unknown; _meta?: unknown };
  if (typeof message.method === 'string') {
    if (
      message.params !== undefined &&
      (typeof message.params !== 'object' || message.params === null || Array.isArray(message.params))
    )
      return undefined;
    if (!isMeta(message._meta ?? {})) return undefined;
    if (message.id === undefined) return 'notification';
    return typeof message.id === 'number' || typeof message.id === 'string' ? 'request' : undefined;
  }
  if (message.id === undefined) return undefined;
  return 'result' in message || isErrorBody(message.error) ? 'response' : undefined;
}

function isMeta(value: unknown): value is Meta {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false;
  const { deadlineMs, trace, depth, plugin } = value as Record<keyof Meta, unknown>;
  return (
    (deadlineMs === undefined || typeof deadlineMs === 'number') &&
    (trace === undefined || typeof trace === 'string') &&
    (depth === undefined || typeof depth === 'number') &&
    (plugin === undefined || typeof plugin === 'string')
  );
}

function isErrorBody(value: unknown): value is ErrorBody {
  if (typeof value !== 'object' || value === null) return false;
  const body = value as { code?: unknown; message?: unknown };
  return Number.isInteger(body.code) && typeof body.message === 'string';
}
