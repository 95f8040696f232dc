// What a child process gets to see of the environment: little.

import { join } from 'node:path';
import { distributionRoot } from './distribution.ts';
import type { PluginSpec } from './spec.ts';

/** The variables of the host that every plugin gets. */
export const inherited = ['PATH', 'LANG', 'LC_ALL', 'TZ'] as const;

export function childEnvironment(spec: PluginSpec, workFolder: string, source: NodeJS.ProcessEnv): Record<string, string> {
  const environment: Record<string, string> = {
    HOME: workFolder,
    TMPDIR: workFolder,
    MUSTER_BUNDLE: spec.bundle,
    MUSTER_PLUGIN: spec.name,
    MUSTER_KIND: spec.kind,
    MUSTER_PROTOCOL: '1',
    // The SDKs of languages that look modules up in folders.
    PYTHONPATH: join(distributionRoot(), 'core/sdk/python'),
    RUBYLIB: join(distributionRoot(), 'core/sdk/ruby'),
    // Compiled Python beside the scripts would look like a change of the bundle.
    PYTHONPYCACHEPREFIX: join(workFolder, 'pycache'),
  };
  for (const name of [...inherited, ...(spec.needs.env ?? [])]) {
    const value = source[name];
    if (value !== undefined) environment[name] = value;
  }
  return environment;
}
