// The control socket: the plugin protocol's messages over a Unix socket that only its owner may open.

import { createHash } from 'node:crypto';
import { chmodSync, existsSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { PluginError } from '../protocol/errors.ts';
import type { Params } from '../protocol/messages.ts';
import { type IncomingCall, Peer } from '../protocol/peer.ts';
import { PipeCarrier } from '../protocol/pipe.ts';
import { openDock } from './attached.ts';
import type { Host } from './host.ts';
import { logLevels } from './log.ts';
import { describeRun } from './plugin-run.ts';
import type { TraceEntry } from './traces.ts';
import { whyNotActive } from './why.ts';

/** Longest path that the operating system takes for a socket. */
const maxSocketPath = 107;

/** `<state>/control.sock`; where that is too long for a socket, a name made from it in the temporary folder. */
export function controlSocketPath(stateFolder: string): string {
  const path = join(stateFolder, 'control.sock');
  if (Buffer.byteLength(path) <= maxSocketPath) return path;
  const name = createHash('sha256').update(path).digest('hex').slice(0, 32);
  return join(tmpdir(), `muster-${userInfo().uid}-${name}.sock`);
}

export class ControlSocket {
  readonly #host: Host;
  readonly #path: string;
  readonly #peers = new Set<Peer>();
  #server: Server | undefined;

  constructor(host: Host) {
    this.#host = host;
    this.#path = controlSocketPath(host.options.stateFolder);
  }

  async open(): Promise<void> {
    if (existsSync(this.#path)) rmSync(this.#path);
    const server = createServer((socket) => this.#serve(socket));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#path, () => resolve());
    });
    chmodSync(this.#path, 0o600);
  }

  async close(): Promise<void> {
    const server = this.#server;
    if (!server) return;
    this.#server = undefined;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const peer of this.#peers) peer.close(new Error('the host stops'));
    await closed;
  }

  #serve(socket: Socket): void {
    const peer = new Peer({
      carrier: new PipeCarrier({ input: socket, output: socket }),
      onRequest: (method, params, call) => this.#answer(method, params, call),
      onClosed: () => {
        this.#peers.delete(peer);
        socket.end();
        socket.destroySoon();
      },
    });
    this.#peers.add(peer);
  }

  async #answer(method: string, params: Params, call: IncomingCall): Promise<unknown> {
    const host = this.#host;
    switch (method) {
      case 'plugin/list':
        return { plugins: host.list(optionalText(params, 'kind')), problems: host.problems };
      case 'plugin/reload':
        await host.reloadByName(text(params, 'bundle'));
        return {};
      case 'plugin/why':
        return { answer: whyNotActive(host, text(params, 'name')) };
      case 'plugin/call': {
        const target = text(params, 'plugin');
        const [kind = '', name = ''] = target.split('/');
        const result = await host.call(kind, name, text(params, 'method'), (params.params ?? {}) as Params, {
          ...call.meta,
          signal: call.signal,
          onProgress: (value) => void call.progress(value),
        });
        return { result };
      }
      case 'plugin/trace':
        await trace(host, params, call);
        return {};
      case 'host/log-level':
        return { level: logLevel(host, optionalText(params, 'level')) };
      case 'plugin/describe':
        return describeRun(host, text(params, 'plugin'));
      case 'plugin/attach': {
        const run = describeRun(host, text(params, 'plugin'));
        return { ...run, socket: await attach(host, run.plugin) };
      }
      default:
        throw new PluginError('UNKNOWN_METHOD', `unknown method ${method}`);
    }
  }
}

/** Tells of what passes until the caller has enough. An entry that is too large for the socket goes without details. */
async function trace(host: Host, params: Params, call: IncomingCall): Promise<void> {
  const wanted = optionalText(params, 'plugin');
  const tell = async (entry: TraceEntry) => call.progress(entry);
  await new Promise<void>((resolve) => {
    const end = host.traces.watch(
      (entry) => {
        if (wanted !== undefined && entry.plugin !== wanted && !entry.plugin.endsWith(`/${wanted}`)) return;
        tell(entry).catch(() => {
          const { details: _tooLarge, ...rest } = entry;
          tell(rest).catch(() => undefined);
        });
      },
      { details: params.details === true },
    );
    call.signal.addEventListener('abort', () => {
      end();
      resolve();
    });
  });
}

/** Opens a door for whoever runs the plugin, and lets it take over when it comes. Returns the path of the door. */
async function attach(host: Host, key: string): Promise<string> {
  const [kind = '', name = ''] = key.split('/');
  const { path, arrived } = await openDock();
  void arrived
    .then((socket) => host.plugin(kind, name)?.attach(socket))
    .then(() => host.log.info({}, `${key} is attached`))
    .catch((error: Error) => host.log.error({}, `${key} could not be attached: ${error.message}`));
  return path;
}

/** The lowest level that is logged, changed first if another is wanted. */
function logLevel({ log }: Host, wanted: string | undefined): string {
  if (log.level === undefined) throw new PluginError('UNAVAILABLE', 'the log of this host is not its own, so it has no level');
  if (wanted === undefined) return log.level;
  const level = logLevels.find((known) => known === wanted);
  if (!level) throw new PluginError('INVALID_PARAMS', `there is no log level '${wanted}'; there are ${logLevels.join(', ')}`);
  log.info({ from: log.level, to: level }, `the log level is changed to ${level}`);
  log.level = level;
  return level;
}

function text(params: Params, name: string): string {
  const value = optionalText(params, name);
  if (value === undefined) throw new PluginError('INVALID_PARAMS', `${name} must be a string`);
  return value;
}

function optionalText(params: Params, name: string): string | undefined {
  return typeof params[name] === 'string' ? params[name] : undefined;
}
