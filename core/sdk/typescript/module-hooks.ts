// Hooks for Node's module loader: `muster/sdk` is this version's SDK, and types are stripped from `.ts` files.

import { readFile } from 'node:fs/promises';
import type { LoadHook, ResolveHook } from 'node:module';
import { fileURLToPath } from 'node:url';

const sdk = new URL('./index.js', import.meta.url).href;

export const resolve: ResolveHook = (specifier, context, next) =>
  specifier === 'muster/sdk' ? { url: sdk, shortCircuit: true } : next(specifier, context);

export const load: LoadHook = async (url, context, next) => {
  if (!url.startsWith('file:') || !url.endsWith('.ts')) return next(url, context);
  // A megabyte of WebAssembly, loaded only by those who need it.
  const { transform } = await import('@swc/wasm-typescript');
  const source = await readFile(fileURLToPath(url), 'utf8');
  const { code } = await transform(source, { mode: 'strip-only', module: true, filename: fileURLToPath(url) });
  return { format: 'module', source: code, shortCircuit: true };
};
