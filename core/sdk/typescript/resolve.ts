// Lets a plugin module anywhere on disk import `muster/sdk`.

import { register } from 'node:module';

const hook = (target: string) => `
export async function resolve(specifier, context, next) {
  return specifier === 'muster/sdk' ? { url: ${JSON.stringify(target)}, shortCircuit: true } : next(specifier, context);
}`;

export function registerHooks(): void {
  const target = new URL('./index.js', import.meta.url).href;
  register(`data:text/javascript,${encodeURIComponent(hook(target))}`);
}
