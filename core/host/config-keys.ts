// Which configuration keys there are: those that the manifests of the loaded bundles declare.

import type { KeySpec, KeySpecs, Value } from '../config/values.ts';
import type { Manifest } from './manifest.ts';

/** The keys of several bundles together. The first bundle that declares a key defines it. */
export function keySpecsOf(bundles: readonly { readonly manifest: Manifest }[]): KeySpecs {
  const specs = new Map<string, KeySpec>();
  for (const { manifest } of bundles) {
    for (const [key, spec] of Object.entries(manifest.config?.keys ?? {})) if (!specs.has(key)) specs.set(key, spec as KeySpec);
  }
  return specs;
}

/** The values of some keys. A `*` in a key stands for one word, so that a bundle can use keys of others by their form. */
export function valuesOf(values: ReadonlyMap<string, Value>, keys: readonly string[]): Record<string, Value> {
  const forms = keys.filter((key) => key.includes('*')).map((key) => key.split('*'));
  const wanted = new Set(keys);
  const fits = (key: string) =>
    forms.some(([start = '', end = '']) => {
      const word = key.slice(start.length, key.length - end.length);
      return key.startsWith(start) && key.endsWith(end) && word !== '' && !word.includes('.');
    });
  return Object.fromEntries([...values].filter(([key]) => wanted.has(key) || fits(key)));
}
