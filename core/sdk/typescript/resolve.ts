// Lets a plugin module anywhere on disk import `muster/sdk`, and be written in TypeScript.

import { register } from 'node:module';

export function registerHooks(): void {
  register('./module-hooks.js', import.meta.url);
}
