// YAML by the package of that name, loaded with the first text that is no JSON: every command reads manifests, most of them no YAML.

import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);

export function loadYaml(): typeof import('yaml') {
  return require('yaml') as typeof import('yaml');
}
