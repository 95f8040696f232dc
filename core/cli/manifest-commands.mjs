// Which commands the bundles of this version bring, gathered at build time so that `muster --help` reads one file.

import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

/**
 * Writes `<root>/generated/bundle-folders.json`, the names of the folders with bundles, and `commands.json` beside it: every
 * entry of `commands:` with the plugin that answers for it.
 */
export function gatherCommands(root, folders) {
  writeFileSync(join(root, 'generated/bundle-folders.json'), JSON.stringify(folders));
  const commands = folders
    .map((name) => join(root, name))
    .filter((folder) => existsSync(folder))
    .flatMap((folder) => readdirSync(folder).map((name) => join(folder, name, 'bundle.yaml')))
    .filter((file) => existsSync(file))
    .flatMap((file) => parse(readFileSync(file, 'utf8')).plugins)
    .filter(({ kind }) => kind === 'command')
    .flatMap(({ name, commands = [] }) => commands.map((entry) => ({ plugin: name, ...entry })));
  writeFileSync(join(root, 'generated/commands.json'), JSON.stringify(commands));
}
