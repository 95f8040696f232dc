// Which configuration keys there are: those that the manifests of the loaded bundles declare.

import type { KeySpec, KeySpecs } from '../config/values.ts';
import type { Manifest } from './manifest.ts';

/** The keys of several bundles together. The first bundle that declares a key defines it. */
export function keySpecsOf(bundles: readonly { readonly manifest: Manifest }[]): KeySpecs {
  const specs = new Map<string, KeySpec>();
  for (const { manifest } of bundles) {
    for (const [key, spec] of Object.entries(manifest.config?.keys ?? {})) if (!specs.has(key)) specs.set(key, spec as KeySpec);
  }
  return specs;
}
