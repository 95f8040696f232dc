// Services that decide what their configuration is: asked before keys are resolved, when no plugin runs yet.

import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type ConfigFile, readConfigFile } from '../config/dialect.ts';
import type { SettingsAnswer, SettingsChooser } from '../sdk/typescript/settings.ts';
import { findBundles, manifestName } from './bundle.ts';
import { parseManifest } from './manifest.ts';
import { ownBundleFolders } from './settings.ts';

export interface ChosenSettings {
  /** What counts in place of the file's contents, if one of the services says so. */
  readonly chosen: ConfigFile | undefined;
  readonly remarks: NonNullable<SettingsAnswer['remarks']>;
}

/** Asks each of these services that has a module for it, one after the other. @throws what such a module throws */
export async function chooseSettings({
  root,
  services,
  file,
}: {
  readonly root: string;
  readonly services: readonly string[];
  readonly file: string | undefined;
}): Promise<ChosenSettings> {
  const remarks: NonNullable<SettingsAnswer['remarks']>[number][] = [];
  const modules = file === undefined ? [] : modulesOf(root, services);
  if (file === undefined || modules.length === 0) return { chosen: undefined, remarks };
  const path = resolve(file);
  let chosen: ConfigFile | undefined;
  for (const { service, module } of modules) {
    const { default: chooser } = (await import(pathToFileURL(module).href)) as { default?: SettingsChooser };
    if (!chooser?.choose) throw new Error(`${module} has no default export made by defineSettings`);
    const before = chosen;
    const read = () => before?.entries ?? (existsSync(path) ? readConfigFile(path).entries : undefined);
    const answer = await chooser.choose({ file: path, read });
    if (!answer) continue;
    remarks.push(...(answer.remarks ?? []));
    chosen = {
      file: path,
      entries: answer.entries.map(({ key, value, file: origin = service, line = 0 }) => ({ key, value, file: origin, line })),
    };
  }
  return { chosen, remarks };
}

function modulesOf(root: string, services: readonly string[]): { service: string; module: string }[] {
  const folders = ownBundleFolders(root).flatMap(findBundles);
  return folders.flatMap((folder) => {
    const file = join(folder, manifestName);
    const { plugins } = parseManifest(readFileSync(file, 'utf8'), file);
    return plugins.flatMap(({ kind, name, settings }) =>
      kind === 'service' && settings !== undefined && services.includes(name)
        ? [{ service: name, module: join(folder, settings) }]
        : [],
    );
  });
}
