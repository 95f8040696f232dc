// `plugin dev`: a bundle on a throw-away node. Calls, log and errors are shown as they happen.

import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import { type Call, definePlugin, type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { openAuthority } from './ca.ts';
import { DevView, readBundle } from './dev-view.ts';
import { choosePort } from './ports.ts';
import { type OverlayPlan, operatorName, writeBroker, writeClient, writeDevNode } from './prepare.ts';
import { Processes } from './processes.ts';
import { quote } from './show.ts';

interface Options {
  readonly run?: string;
  readonly port: number;
}

export default definePlugin({
  kind: 'command',
  version: '1.0.0',
  create: (host) => {
    let running: Dev | undefined;
    return {
      methods: {
        'command/run': async (
          { arguments: { bundle }, options }: { arguments: { bundle: string }; options: Options },
          call: Call,
        ) => {
          running = new Dev(host, resolve(bundle), options, call.signal);
          return { exitCode: await running.run() };
        },
      },
      shutdown: () => running?.stop(),
    };
  },
});

class Dev {
  readonly #host: Host;
  readonly #bundle: string;
  readonly #options: Options;
  readonly #signal: AbortSignal;
  #folder: string | undefined;
  #processes: Processes | undefined;

  constructor(host: Host, bundle: string, options: Options, signal: AbortSignal) {
    this.#host = host;
    this.#bundle = bundle;
    this.#options = options;
    this.#signal = signal;
  }

  async run(): Promise<number> {
    if (!existsSync(join(this.#bundle, 'bundle.yaml')))
      throw new PluginError(
        'NOT_FOUND',
        `${this.#bundle} is no bundle: it has no bundle.yaml; write one with \`muster plugin new\``,
      );
    this.#folder = mkdtempSync(join(tmpdir(), 'muster-dev-'));
    const plan = await this.#prepare(this.#folder);
    const { program = [], root = '' } = await this.#host.control.info();
    const processes = new Processes(this.#host, program, this.#signal);
    this.#processes = processes;
    const { color } = await this.#host.terminal.info();
    const say = (text: string) => void this.#host.terminal.write(`${text}\n`);
    const view = new DevView(this.#bundle, { say, color, onReload: () => this.#request(plan) });
    await processes.startBroker(plan);
    await processes.startNodes(plan, (line) => view.logLine(line));
    await processes.awaitAnswers(plan);
    const state = join(plan.folder, 'state');
    await processes.follow('trace', ['plugin', 'trace', '--details', '--json', '--state', state], (line) => view.traceLine(line));
    say(invitation(plan, this.#bundle, `${root.replace(/\/\.build$/, '')}/core/cli/muster.mjs`, state));
    this.#request(plan);
    return processes.watch();
  }

  async stop(): Promise<void> {
    await this.#processes?.stop();
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true, force: true });
  }

  /** The bundle's own folder, by a link in the folder that the node watches. */
  async #prepare(folder: string): Promise<OverlayPlan> {
    const port = await choosePort(this.#options.port, folder);
    const bundles = join(folder, 'bundles');
    mkdirSync(bundles);
    symlinkSync(this.#bundle, join(bundles, basename(this.#bundle)));
    const authority = await openAuthority(join(folder, 'ca'), 'Muster overlay CA');
    const operator = operatorName(process.env);
    const [brokerConfig, clientConfig, node] = await Promise.all([
      writeBroker(folder, authority, port),
      writeClient(folder, authority, port, operator, bundles),
      writeDevNode(folder, authority, port, bundles),
    ]);
    return { folder, port, brokerConfig, clientConfig, bundles, nodes: [node] };
  }

  /** The request that is repeated; what comes of it is shown by the view and by the command itself. */
  #request({ clientConfig, nodes }: OverlayPlan): void {
    const words = this.#options.run?.split(/\s+/).filter((word) => word !== '') ?? [];
    if (words.length === 0) return;
    const [node] = nodes;
    const target = node ? ['-I', node.identity] : [];
    this.#processes?.show(['req', ...words, ...target, '--np', '--config', clientConfig]).catch(() => undefined);
  }
}

function invitation({ clientConfig }: OverlayPlan, bundle: string, muster: string, state: string): string {
  const { agents, plugins } = readBundle(bundle);
  const requests = agents.flatMap(({ name, actions }) =>
    actions.map(({ action, inputs }) => `req ${name} ${action}${inputs.map((input) => ` ${input}=…`).join('')}`),
  );
  return [
    `${basename(bundle)} runs on a node of its own. Save a file of it and it is loaded again; Ctrl-C ends all of it.`,
    ...(requests.length > 0 ? ['', 'In a second terminal:', ''] : []),
    ...requests.map((request) => `  ${quote(muster)} ${request} --config ${quote(clientConfig)}`),
    ...(plugins.length > 0
      ? ['', 'Under a debugger:', '', `  ${quote(muster)} plugin attach ${plugins[0]} --state ${quote(state)}`]
      : []),
    '',
  ].join('\n');
}
