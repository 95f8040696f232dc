// Text into other text: hex, base64, URLs, hashes, YAML.

import { createHash, createHmac, timingSafeEqual } from 'node:crypto';
import { parse as parseYaml } from 'yaml';
import { type Builtin, isObject, type Json, text, texts, Unclear, Undefined } from './values.ts';

const hash =
  (name: string): Builtin =>
  (given) =>
    createHash(name).update(text(given)).digest('hex');
const mac =
  (name: string): Builtin =>
  (given, key) =>
    createHmac(name, text(key)).update(text(given)).digest('hex');

export const encodingBuiltins: Readonly<Record<string, Builtin>> = {
  'hex.encode': (given) => Buffer.from(text(given)).toString('hex'),
  'hex.decode': (given) => {
    const digits = text(given);
    if (digits.length % 2 !== 0 || !/^[0-9a-fA-F]*$/.test(digits)) throw new Undefined('no hex');
    return Buffer.from(digits, 'hex').toString();
  },
  'base64url.encode_no_pad': (given) => Buffer.from(text(given)).toString('base64url'),
  'crypto.md5': hash('md5'),
  'crypto.sha1': hash('sha1'),
  'crypto.sha256': hash('sha256'),
  'crypto.hmac.md5': mac('md5'),
  'crypto.hmac.sha1': mac('sha1'),
  'crypto.hmac.sha256': mac('sha256'),
  'crypto.hmac.sha512': mac('sha512'),
  'crypto.hmac.equal': (a, b) => {
    const [first, second] = [Buffer.from(text(a)), Buffer.from(text(b))];
    return first.length === second.length && timingSafeEqual(first, second);
  },
  'urlquery.encode': (given) => escaped(text(given)),
  'urlquery.decode': (given) => unescaped(text(given)),
  'urlquery.encode_object': (given) => {
    if (!isObject(given)) throw new Undefined('no object');
    return Object.keys(given)
      .sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      .flatMap((key) => texts(given[key]).map((value) => `${escaped(key)}=${escaped(value)}`))
      .join('&');
  },
  'urlquery.decode_object': (given) => decodeObject(text(given)),
  'uuid.parse': (given) => uuid(text(given)),
  'yaml.is_valid': (given) => typeof given === 'string' && yaml(given) !== undefined,
  'yaml.unmarshal': (given) => {
    const value = yaml(text(given));
    if (value === undefined) throw new Undefined('no YAML');
    return value;
  },
};

/** As Go's `url.QueryEscape`. */
function escaped(value: string): string {
  return encodeURIComponent(Buffer.from(value).toString())
    .replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%20', '+');
}

function unescaped(value: string): string {
  if (/%(?![0-9a-fA-F]{2})/.test(value)) throw new Undefined('no escape');
  const bytes: Buffer[] = value
    .replaceAll('+', ' ')
    .split(/(%[0-9a-fA-F]{2})/)
    .map((part, index) => (index % 2 === 1 ? Buffer.from(part.slice(1), 'hex') : Buffer.from(part)));
  return Buffer.concat(bytes).toString();
}

function decodeObject(query: string): Record<string, string[]> {
  const object: Record<string, string[]> = Object.create(null);
  for (const pair of query.split('&')) {
    if (pair === '') continue;
    if (pair.includes(';')) throw new Undefined('a semicolon');
    const at = pair.indexOf('=');
    const key = unescaped(at < 0 ? pair : pair.slice(0, at));
    object[key] ??= [];
    object[key].push(at < 0 ? '' : unescaped(pair.slice(at + 1)));
  }
  return { ...object };
}

/** Undefined for what is no YAML. Keys become text, as in JSON. */
function yaml(source: string): Json | undefined {
  try {
    const value: unknown = parseYaml(source, {
      maxAliasCount: 100,
      logLevel: 'error',
      version: '1.1',
      schema: 'core',
      uniqueKeys: false,
    });
    return JSON.parse(JSON.stringify(value ?? null)) as Json;
  } catch {
    return undefined;
  }
}

/** Version and variant. Those that tell of a time and a machine are not taken apart here. */
function uuid(given: string): Json {
  const plain = given.replace(/^urn:uuid:/i, '').replace(/^\{(.*)\}$/, '$1');
  if (!/^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i.test(plain)) throw new Undefined('no UUID');
  if (![32, 36].includes(plain.length)) throw new Undefined('no UUID');
  const digits = plain.replaceAll('-', '');
  const version = Number.parseInt(digits.charAt(12), 16);
  const variant = Number.parseInt(digits.charAt(16), 16);
  if (variant < 8 || variant > 11 || version < 3 || version > 5) throw new Unclear('uuid.parse takes versions 3, 4 and 5 here');
  return { variant: 'RFC4122', version };
}
