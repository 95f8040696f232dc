// Base64 on a pipe, Uint8Array in memory: finds the places by a contract's schemas and converts along them.

import type { BytePaths } from './messages.ts';

export type Path = readonly string[];

/** The places in values of this schema that hold bytes (`contentEncoding: base64`). `*` stands for every array element. */
export function bytePaths(schema: unknown): Path[] {
  return find(schema, []);
}

function find(schema: unknown, at: Path): Path[] {
  if (typeof schema !== 'object' || schema === null) return [];
  const node = schema as { contentEncoding?: unknown; properties?: Record<string, unknown>; items?: unknown };
  if (node.contentEncoding === 'base64') return [at];
  const members = Object.entries(node.properties ?? {}).flatMap(([key, member]) => find(member, [...at, key]));
  return [...members, ...find(node.items, [...at, '*'])];
}

/** The value with base64 text at `paths` turned into bytes. Text that is no base64 stays, so that validation names it. */
export function decodeBytes(value: unknown, paths: readonly Path[]): unknown {
  return paths.reduce((result, path) => replace(result, path, 0, decode), value);
}

/** The value with bytes at `paths` turned into base64 text. */
export function encodeBytes(value: unknown, paths: readonly Path[]): unknown {
  return paths.reduce((result, path) => replace(result, path, 0, encode), value);
}

/** The paths of one method and part, empty if there are none. */
export function pathsOf(bytes: BytePaths, method: string, part: 'params' | 'result' | 'progress'): readonly Path[] {
  return bytes[method]?.[part] ?? none;
}

const none: readonly Path[] = [];
const base64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

function decode(value: unknown): unknown {
  return typeof value === 'string' && base64.test(value) ? Buffer.from(value, 'base64') : value;
}

function encode(value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64') : value;
}

function replace(value: unknown, path: Path, at: number, convert: (leaf: unknown) => unknown): unknown {
  const key = path[at];
  if (key === undefined) return convert(value);
  if (typeof value !== 'object' || value === null) return value;
  if (key === '*') return Array.isArray(value) ? value.map((item) => replace(item, path, at + 1, convert)) : value;
  const member = (value as Record<string, unknown>)[key];
  if (member === undefined) return value;
  return { ...value, [key]: replace(member, path, at + 1, convert) };
}
