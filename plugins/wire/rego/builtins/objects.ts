// Functions of arrays and objects that modules call.

import { type Builtin, compare, isObject, type Json, list, maybeSet, text, Unclear, Undefined } from './values.ts';

export const objectBuiltins: Readonly<Record<string, Builtin>> = {
  'object.subset': (whole, part) => subset(whole ?? null, part ?? null),
  'json.patch': (document, patches) => list(patches).reduce<Json>((changed, patch) => patched(changed, patch), document ?? null),
};

/** Arrays hold a part in its order, sets in any; which of them is given can not always be told. */
function subset(whole: Json, part: Json): boolean {
  if (isObject(whole) && isObject(part)) return objectSubset(whole, part);
  if (!Array.isArray(whole) || !Array.isArray(part)) throw new Undefined('neither objects nor arrays nor sets');
  const asArrays =
    whole.some((_, at) => part.every((item, by) => at + by < whole.length && equal(whole[at + by] as Json, item))) ||
    part.length === 0;
  const asSets = part.every((item) => whole.some((other) => equal(other, item)));
  if (asArrays !== asSets && maybeSet(part)) throw new Unclear('object.subset can not tell whether these are arrays or sets');
  return asArrays;
}

function objectSubset(whole: { readonly [key: string]: Json }, part: { readonly [key: string]: Json }): boolean {
  return Object.entries(part).every(([key, value]) => {
    if (!Object.hasOwn(whole, key)) return false;
    const other = whole[key] as Json;
    if (isObject(value) && isObject(other)) return objectSubset(other, value);
    if (Array.isArray(value) && Array.isArray(other)) return subset(other, value);
    return equal(other, value);
  });
}

function equal(a: Json, b: Json): boolean {
  return compare(a, b) === 0;
}

function patched(document: Json, patch: Json): Json {
  if (!isObject(patch)) throw new Undefined('no patch');
  const path = pathOf(patch.path);
  switch (text(patch.op)) {
    case 'add':
      return add(document, path, given(patch.value));
    case 'remove':
      return remove(document, path);
    case 'replace':
      at(document, path);
      return path.length === 0 ? given(patch.value) : add(remove(document, path), path, given(patch.value));
    case 'move': {
      const from = pathOf(patch.from);
      const value = at(document, from);
      return add(remove(document, from), path, value);
    }
    case 'copy':
      return add(document, path, at(document, pathOf(patch.from)));
    case 'test':
      if (!equal(at(document, path), given(patch.value))) throw new Undefined('test');
      return document;
    default:
      throw new Undefined('no operation');
  }
}

function given(value: Json | undefined): Json {
  if (value === undefined) throw new Undefined('no value');
  return value;
}

function pathOf(value: Json | undefined): readonly string[] {
  if (Array.isArray(value)) return value.map((part) => (typeof part === 'number' ? String(part) : text(part)));
  const written = text(value).replace(/^\/+/, '');
  return written === '' ? [] : written.split('/').map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function at(document: Json, path: readonly string[]): Json {
  return path.reduce<Json>((value, key) => {
    if (Array.isArray(value)) return value[indexIn(value, key, value.length - 1)] as Json;
    if (isObject(value) && Object.hasOwn(value, key)) return value[key] as Json;
    throw new Undefined('not there');
  }, document);
}

function indexIn(array: readonly Json[], key: string, last: number): number {
  const index = key === '-' ? array.length : /^(0|[1-9]\d*)$/.test(key) ? Number(key) : -1;
  if (index < 0 || index > last) throw new Undefined('no such index');
  return index;
}

function add(document: Json, path: readonly string[], value: Json): Json {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  if (Array.isArray(document)) {
    const index = indexIn(document, key, rest.length > 0 ? document.length - 1 : document.length);
    return rest.length > 0
      ? document.with(index, add(document[index] as Json, rest, value))
      : document.toSpliced(index, 0, value);
  }
  if (!isObject(document)) throw new Undefined('not there');
  if (rest.length > 0 && !Object.hasOwn(document, key)) throw new Undefined('not there');
  return own(document, key, rest.length > 0 ? add(document[key] as Json, rest, value) : value);
}

function remove(document: Json, path: readonly string[]): Json {
  const [key, ...rest] = path;
  if (key === undefined) throw new Undefined('nothing would be left');
  if (Array.isArray(document)) {
    const index = indexIn(document, key, document.length - 1);
    return rest.length > 0 ? document.with(index, remove(document[index] as Json, rest)) : document.toSpliced(index, 1);
  }
  if (!isObject(document) || !Object.hasOwn(document, key)) throw new Undefined('not there');
  if (rest.length > 0) return own(document, key, remove(document[key] as Json, rest));
  return Object.fromEntries(Object.entries(document).filter(([name]) => name !== key));
}

/** With this member, whatever it is called. */
function own(object: { readonly [key: string]: Json }, key: string, value: Json): Json {
  return Object.fromEntries([...Object.entries(object).filter(([name]) => name !== key), [key, value]]);
}
