// Nodes by name from a file: a name a line, a list in JSON or YAML, or the replies of an earlier request.

import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parse } from 'yaml';
import { definePlugin } from '../../core/sdk/typescript/index.ts';
import { lookup } from '../wire/facts.ts';
import { matchIdentity } from '../wire/filter.ts';
import { type DiscoverParams, DiscoveryError, type Found, refuseOtherFilters, refuseOtherOptions } from './request.ts';

type Format = 'text' | 'json' | 'yaml' | 'replies';

const formats: Readonly<Record<string, Format>> = {
  text: 'text',
  json: 'json',
  yaml: 'yaml',
  yml: 'yaml',
  choriarpc: 'replies',
  results: 'replies',
  rpc: 'replies',
  response: 'replies',
};
const maxNameLength = 253;
const label = '[a-zA-Z0-9]([a-zA-Z0-9-]*[a-zA-Z0-9])?';
const hostName = new RegExp(`^${label}(\\.${label})*$`);

export default definePlugin({
  kind: 'discovery',
  version: '1.0.0',
  methods: { 'discovery/discover': (params: DiscoverParams) => discover(params) },
});

/** @throws DiscoveryError that names the file, or the name that is none */
export function discover(params: DiscoverParams): Found {
  refuseOtherOptions('flatfile', params, ['file', 'format', 'filter']);
  refuseOtherFilters('flatfile', params, ['-I']);
  const { text, origin, format } = read(params);
  const names = namesIn(text, format, origin, params.options.filter);
  const wrong = names.find((name) => name.length > maxNameLength || !hostName.test(name));
  if (wrong !== undefined)
    throw new DiscoveryError(
      `${origin}: '${wrong}' is no node name; one has letters, digits and inner dashes, in parts joined by dots`,
    );
  const { identity } = params.filter;
  const wanted = identity.length === 0 ? names : names.filter((name) => identity.some((word) => matchIdentity(word, name)));
  return { nodes: [...new Set(wanted)].map((name) => ({ identity: name })) };
}

function read({ options, folder = '.', input }: DiscoverParams): { text: string; origin: string; format: Format } {
  const { file } = options;
  if (options.filter === '') throw new DiscoveryError('the option filter of flatfile is empty; give it a gjson path');
  if (file === undefined || file === '') {
    if (input === undefined) throw new DiscoveryError('flatfile needs a file: --nodes FILE, or --do file=FILE');
    return { text: input, origin: 'standard input', format: formatOf(options.format, 'choriarpc') };
  }
  const path = resolve(folder, file);
  try {
    return { text: readFileSync(path, 'utf8'), origin: file, format: formatOf(options.format, extensionOf(file)) };
  } catch (error) {
    if (error instanceof DiscoveryError) throw error;
    throw new DiscoveryError(`${file}: cannot be read: ${(error as Error).message}`, { cause: error });
  }
}

function formatOf(wanted: string | undefined, otherwise: string): Format {
  const format = formats[wanted ?? otherwise];
  if (!format) throw new DiscoveryError(`flatfile reads no format '${wanted}'; it reads ${Object.keys(formats).join(', ')}`);
  return format;
}

function extensionOf(file: string): string {
  const extension = /\.(json|ya?ml)$/.exec(file)?.[1];
  return extension ?? 'text';
}

function namesIn(text: string, format: Format, origin: string, filter: string | undefined): readonly string[] {
  if (filter !== undefined && format !== 'json' && format !== 'yaml')
    throw new DiscoveryError(`${origin}: the option filter of flatfile is for JSON and YAML; this is read as ${format}`);
  if (format === 'text')
    return text
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '');
  const document = parseDocument(text, format, origin);
  if (format === 'replies') return senders(document, origin);
  if (filter === undefined) {
    if (Array.isArray(document) && document.every((item) => typeof item === 'string')) return document;
    throw new DiscoveryError(`${origin}: it must hold a list of node names; --do filter=PATH names a list within`);
  }
  const found = lookup(document, filter);
  if (!Array.isArray(found)) throw new DiscoveryError(`${origin}: the filter '${filter}' gives no list`);
  return found.filter((item) => typeof item === 'string');
}

function parseDocument(text: string, format: Format, origin: string): unknown {
  try {
    return format === 'yaml' ? (parse(text) as unknown) : (JSON.parse(text) as unknown);
  } catch (error) {
    throw new DiscoveryError(`${origin}: ${(error as Error).message.split('\n')[0]}`, { cause: error });
  }
}

/** Whoever answered, whatever it answered. */
function senders(document: unknown, origin: string): string[] {
  const replies = (document as { replies?: unknown } | null)?.replies;
  if (!Array.isArray(replies))
    throw new DiscoveryError(`${origin}: it has no list of replies; it should be what \`req --json\` prints`);
  return replies.map((reply: { sender?: unknown } | null, index) => {
    if (typeof reply?.sender !== 'string') throw new DiscoveryError(`${origin}: replies.${index} has no sender`);
    return reply.sender;
  });
}
