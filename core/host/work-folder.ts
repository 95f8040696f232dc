// Where a plugin's process is at home: HOME, TMPDIR, and what its interpreter keeps.

import { join } from 'node:path';
import type { PluginSpec } from './spec.ts';

export function workFolderOf(stateFolder: string, { kind, name }: PluginSpec): string {
  return join(stateFolder, 'plugins', `${kind}.${name}`, 'work');
}
