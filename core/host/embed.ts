// A host inside somebody's own program: the program becomes a plugin of it, with what it says that it needs.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { entriesFrom } from '../config/dialect.ts';
import { resolveConfig } from '../config/values.ts';
import type { Host as PluginHost } from '../sdk/typescript/plugin.ts';
import { readManifests } from './bundle.ts';
import { Host } from './host.ts';
import { type HostLog, silentLog } from './log.ts';
import { Runtime } from './runtime.ts';
import { knownKeys, loadSettings, ownBundleFolders } from './settings.ts';
import type { Needs } from './spec.ts';

export interface EmbedOptions {
  /** A configuration file, or values by key. Without it the file that commands would use. */
  readonly config?: string | Readonly<Record<string, unknown>>;
  /** What the program may ask of the host, as under `needs:` in a manifest. */
  readonly needs: Needs;
  /** Further folders with bundles. */
  readonly bundles?: readonly string[];
  readonly log?: HostLog;
  /** Shared by several hosts of one process. Default: one of its own, which ends with it. */
  readonly runtime?: Runtime;
}

/** The host as a plugin sees it, until it is closed. */
export interface EmbeddedHost extends AsyncDisposable {
  readonly host: PluginHost;
  close(): Promise<void>;
}

/** @throws ConfigError, ManifestError, and why a bundle could not be started */
export async function embed({
  config,
  needs,
  bundles = [],
  log = silentLog,
  runtime: shared,
}: EmbedOptions): Promise<EmbeddedHost> {
  const runtime = shared ?? new Runtime();
  const folders = [...ownBundleFolders(runtime.root), ...bundles];
  const stateFolder = mkdtempSync(join(tmpdir(), 'muster-embedded-'));
  const resolved =
    typeof config === 'object'
      ? resolveConfig({ file: undefined, entries: entriesFrom(config, 'config') }, knownKeys(readManifests(folders)))
      : loadSettings({ root: runtime.root, file: config, project: true, optional: true }).config;
  const core = new Host({ runtime, bundles: folders, stateFolder, config: resolved, log });
  const close = async () => {
    await core.stop('the program closed it');
    if (!shared) runtime.close();
    rmSync(stateFolder, { recursive: true, force: true });
  };
  try {
    await core.start();
    // What shows the numbers of a host to monitoring runs with a program as it does with services.
    for (const { kind, name, state } of core.list('exporter'))
      if (state !== 'off')
        await core
          .plugin(kind, name)
          ?.ensure()
          .catch(() => undefined);
    const host = await core.attach('program', needs);
    return { host, close, [Symbol.asyncDispose]: close };
  } catch (error) {
    await close();
    throw error;
  }
}
