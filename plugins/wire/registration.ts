// Registration: what a node tells of itself, and the messages that it does so in.

import { gunzipSync, gzipSync } from 'node:zlib';
import { WireError } from './errors.ts';

export const registrationAgent = 'registration';
/** Nobody answers. */
export const registrationReplyTo = 'dev.null';

export const registrationProtocols = {
  inventory: 'choria:registration:inventorycontent:1',
  file: 'choria:registration:filecontent:1',
} as const;

/** A document of facts grows by its compression; past this it is not read. */
const maxDocumentBytes = 8 * 1024 * 1024;

export interface NodeDocument {
  readonly agents: readonly object[] | null;
  readonly classes: readonly string[];
  readonly facts: Readonly<Record<string, unknown>>;
  readonly status: object;
  readonly collectives: readonly string[];
  readonly build_info: { readonly version: string; readonly sha: string };
  readonly machines: readonly object[];
}

/** The message with a node's document, compressed or not. */
export function inventoryMessage(document: NodeDocument, compress: boolean): string {
  const { agents, classes, facts, status, collectives, build_info, machines } = document;
  const content = { agents, classes, facts, status, collectives, build_info, machines };
  const zcontent = () => gzipSync(JSON.stringify(content)).toString('base64');
  return JSON.stringify({ protocol: registrationProtocols.inventory, ...(compress ? { zcontent: zcontent() } : { content }) });
}

export interface FileContent {
  /** Unix seconds. */
  readonly mtime: number;
  readonly file: string;
  /** Whether it changed since it was last looked at. */
  readonly updated: boolean;
  readonly content: Uint8Array;
}

/** The message with the bytes of a file. */
export function fileMessage({ mtime, file, updated, content }: FileContent, compress: boolean): string {
  const text = Buffer.from(compress ? gzipSync(content) : content).toString('base64');
  return JSON.stringify({
    mtime,
    file,
    updated,
    protocol: registrationProtocols.file,
    [compress ? 'zcontent' : 'content']: text,
  });
}

/** The document in such a message; undefined for a message of another protocol. @throws WireError `WIRE_BODY` */
export function readInventoryMessage(body: string): Partial<NodeDocument> | undefined {
  const message = parse(body) as { protocol?: unknown; content?: unknown; zcontent?: unknown } | null;
  if (message?.protocol !== registrationProtocols.inventory) return undefined;
  const content = typeof message.zcontent === 'string' ? parse(inflate(message.zcontent)) : message.content;
  if (typeof content !== 'object' || content === null || Array.isArray(content))
    throw new WireError('WIRE_BODY', 'the registration holds no document');
  return content;
}

function inflate(text: string): string {
  try {
    return gunzipSync(Buffer.from(text, 'base64'), { maxOutputLength: maxDocumentBytes }).toString('utf8');
  } catch (error) {
    throw new WireError('WIRE_BODY', `the registration can not be inflated: ${(error as Error).message}`);
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (error) {
    throw new WireError('WIRE_BODY', `the registration is not JSON: ${(error as Error).message}`);
  }
}
