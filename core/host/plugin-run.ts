// How a plugin is run, for somebody who wants to run it by hand, attach it, or record it.

import { PluginError } from '../protocol/errors.ts';
import { childEnvironment } from './environment.ts';
import type { Host } from './host.ts';
import type { Runner } from './instance.ts';
import { atSource, commandOf } from './spec.ts';
import { workFolderOf } from './work-folder.ts';

export interface PluginRun {
  /** `kind/name` */
  readonly plugin: string;
  readonly runner: Runner;
  /** As in the manifest; that of a module runs it as a process of its own. */
  readonly command: readonly string[];
  /** Where its bundle was found, which is not where it runs if its folder is watched. */
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly bundle: { readonly name: string; readonly version: string };
  /** The values of its configuration keys, secrets masked. */
  readonly config: Readonly<Record<string, unknown>>;
}

/**
 * @param wanted `kind/name`, or a name that is there once
 * @throws PluginError `NOT_FOUND`; `UNAVAILABLE` if another plugin answers for it
 */
export function describeRun(host: Host, wanted: string): PluginRun {
  const found = host.list().filter(({ kind, name }) => `${kind}/${name}` === wanted || name === wanted);
  const [only] = found;
  if (!only)
    throw new PluginError('NOT_FOUND', `there is no plugin ${wanted}; \`muster plugin list\` shows those that there are`);
  if (found.length > 1)
    throw new PluginError(
      'NOT_FOUND',
      `there are ${found.map(({ kind, name }) => `${kind}/${name}`).join(' and ')}; name one of them`,
    );
  const key = `${only.kind}/${only.name}`;
  const spec = host.plugin(only.kind, only.name)?.spec;
  if (!spec || only.announcedBy !== null)
    throw new PluginError('UNAVAILABLE', `${key} is announced by ${only.announcedBy}, which answers for it; name that one`);
  return {
    plugin: key,
    runner: spec.runner,
    command: commandOf(spec, host.runtime.root).map((part) => atSource(spec, part)),
    folder: spec.source,
    environment: childEnvironment(spec, workFolderOf(host.options.stateFolder, spec), process.env),
    bundle: { name: spec.bundle, version: spec.bundleVersion },
    config: host.mask(host.configOf(spec)) as Record<string, unknown>,
  };
}
