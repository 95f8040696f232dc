// Inputs that a DDL marks with `sensitive: true`: they are not written to logs.

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { extname } from 'node:path';

const require = createRequire(import.meta.url);

/** A DDL in JSON or YAML, as it is. @throws Error naming the file */
export function readDdlDocument(file: string): unknown {
  try {
    const text = readFileSync(file, 'utf8');
    // Loaded when the first one in YAML comes.
    return extname(file) === '.json' ? (JSON.parse(text) as unknown) : (require('yaml') as typeof import('yaml')).parse(text);
  } catch (error) {
    throw new Error(`${file}: ${(error as Error).message.split('\n')[0]}`);
  }
}

/**
 * Names of secret inputs in lower case, by action; `*` stands for actions that the DDL does not have.
 * @param always names that are secret in every action
 */
export function secretInputsOf(document: unknown, always: readonly string[] = []): ReadonlyMap<string, ReadonlySet<string>> {
  const secrets = new Map<string, ReadonlySet<string>>();
  const everywhere = always.map((name) => name.toLowerCase());
  const all = new Set(everywhere);
  const { actions } = isObject(document) ? document : {};
  for (const action of Array.isArray(actions) ? actions.filter(isObject) : []) {
    const marked = Object.entries(isObject(action.input) ? action.input : {})
      .filter(([, about]) => isObject(about) && about.sensitive === true)
      .map(([name]) => name.toLowerCase());
    for (const name of marked) all.add(name);
    if (marked.length + everywhere.length > 0) secrets.set(String(action.action), new Set([...everywhere, ...marked]));
  }
  if (all.size > 0) secrets.set('*', all);
  return secrets;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
