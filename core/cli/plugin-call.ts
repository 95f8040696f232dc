// `plugin call`: one call, into a running host or into a bundle that is run for it alone.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { entriesFrom } from '../config/dialect.ts';
import { resolveConfig } from '../config/values.ts';
import { manifestName, readManifests } from '../host/bundle.ts';
import { Host } from '../host/host.ts';
import { createPlainLog } from '../host/log.ts';
import { Runtime } from '../host/runtime.ts';
import { knownKeys } from '../host/settings.ts';
import type { Params } from '../protocol/messages.ts';
import type { CallOptions } from '../protocol/peer.ts';
import { printable } from '../protocol/printable.ts';
import { findStateFolder, withHost } from './control-client.ts';

export interface CallRequest {
  readonly root: string;
  readonly target: string;
  readonly method: string;
  readonly params: string;
  readonly plugin?: string;
  readonly timeout: string;
  readonly set?: readonly string[];
  readonly state?: string;
  readonly config?: string;
}

export async function callPlugin(request: CallRequest): Promise<void> {
  const params = readParams(request.params);
  const seconds = Number(request.timeout);
  if (!(seconds > 0)) throw new Error(`--timeout takes seconds, not '${request.timeout}'`);
  const end = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => end.abort(new Error('interrupted')));
  const options: CallOptions = {
    deadlineMs: seconds * 1000,
    signal: end.signal,
    onProgress: (value) => process.stderr.write(`progress: ${printable(JSON.stringify(value) ?? '')}\n`),
  };
  const isFolder = existsSync(join(request.target, manifestName));
  const result = isFolder ? await callFolder(request, params, options) : await callRunning(request, params, options);
  const base64 = (_key: string, value: unknown) => (value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value);
  process.stdout.write(`${printable(JSON.stringify(result, base64, 2))}\n`);
}

async function callRunning(request: CallRequest, params: Params, options: CallOptions): Promise<unknown> {
  const { root, target, method } = request;
  if (!target.includes('/'))
    throw new Error(`${target} is neither a folder with a ${manifestName} nor a plugin such as agent/${target}`);
  const answer = await withHost(findStateFolder(root, request), (peer) =>
    peer.call('plugin/call', { plugin: target, method, params }, options),
  );
  return (answer as { result: unknown }).result;
}

async function callFolder(
  { target, method, plugin, set = [] }: CallRequest,
  params: Params,
  options: CallOptions,
): Promise<unknown> {
  const source = resolve(target);
  const stateFolder = mkdtempSync(join(tmpdir(), 'muster-call-'));
  const runtime = new Runtime();
  const values = Object.fromEntries(set.map((text) => [text.slice(0, text.indexOf('=')), text.slice(text.indexOf('=') + 1)]));
  const host = new Host({
    runtime,
    bundles: [],
    stateFolder,
    config: resolveConfig(
      { file: undefined, entries: entriesFrom(values, '--set') },
      knownKeys(readManifests([dirname(source)], { skipBroken: true })),
    ),
    log: createPlainLog(process.stderr, 'info'),
  });
  try {
    await host.start();
    await host.reloadBundle(source);
    const names = host.list().map(({ kind, name }) => `${kind}/${name}`);
    const wanted = names.length === 1 ? names[0] : names.find((name) => name === plugin || name.endsWith(`/${plugin}`));
    if (wanted === undefined) throw new Error(`the bundle has ${names.join(', ')}; name one with --plugin`);
    const [kind = '', name = ''] = wanted.split('/');
    return await host.call(kind, name, method, params, options);
  } finally {
    await host.stop('the call ended');
    runtime.close();
    rmSync(stateFolder, { recursive: true, force: true });
  }
}

function readParams(text: string): Params {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Params;
  } catch {}
  throw new Error(`the params must be a JSON object such as '{"name":"value"}', not ${text}`);
}
