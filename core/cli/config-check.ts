// `muster config check`: reads a file as `run` would, and tells what is wrong with it.

import { resolve } from 'node:path';
import { ConfigError, readConfigFile } from '../config/dialect.ts';
import { resolveConfig } from '../config/values.ts';
import { readManifests } from '../host/bundle.ts';
import { knownKeys, ownBundleFolders } from '../host/settings.ts';

export function checkConfig(root: string, file: string | undefined, json: boolean): void {
  if (file === undefined) throw new Error('name a configuration file: muster config check FILE');
  const specs = knownKeys(readManifests(ownBundleFolders(root)));
  try {
    const config = resolveConfig(readConfigFile(resolve(file)), specs);
    const values = [...config.values]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, value]) => [key, specs.get(key)?.secret ? '(secret)' : value]);
    if (json)
      process.stdout.write(
        `${JSON.stringify({ ok: true, warnings: config.warnings, values: Object.fromEntries(values) }, null, 2)}\n`,
      );
    else {
      for (const warning of config.warnings) process.stdout.write(`warning: ${warning}\n`);
      process.stdout.write(
        `${file}: ${config.warnings.length === 0 ? 'good' : `usable, with ${config.warnings.length} warnings`}\n`,
      );
    }
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    if (json) process.stdout.write(`${JSON.stringify({ ok: false, problems: error.problems }, null, 2)}\n`);
    else for (const problem of error.problems) process.stdout.write(`error: ${problem}\n`);
    process.exitCode = 1;
  }
}
