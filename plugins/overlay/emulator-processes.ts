// Emulated nodes over several processes: each runs `emulate` for its share, and its progress is added up here.

import { type Host, PluginError } from '../../core/sdk/typescript/index.ts';

interface Options {
  readonly nodes: number;
  readonly processes: number;
  readonly first: number;
}

const progress = /^started (\d+)$/;
/** A process with thousands of nodes needs more memory than Node allows itself, and lets more of it become garbage at once. */
const nodeFlags = ['--max-old-space-size=12288', '--max-semi-space-size=64'];

/** What a process prints on stderr while its nodes start. */
export function progressLine(started: number): string {
  return `started ${started}\n`;
}

export class EmulatorProcesses {
  readonly #host: Host;
  readonly #options: Options;
  readonly #signal: AbortSignal;
  readonly #started: number[] = [];

  constructor(host: Host, options: Options, signal: AbortSignal) {
    this.#host = host;
    this.#options = options;
    this.#signal = signal;
  }

  /** Resolves when all nodes of all processes are connected. @throws PluginError if a process ends before */
  async start(): Promise<void> {
    const { nodes, processes, first, ...same } = this.#options;
    const { program = [], configFile } = await this.#host.control.info();
    const share = Math.ceil(nodes / processes);
    const flags = Object.entries(same)
      .filter(([, value]) => value !== undefined)
      .flatMap(([name, value]) => [`--${name}`, String(value)]);
    const config = configFile === null ? [] : ['--config', configFile];
    const { interactive } = await this.#host.terminal.info();
    await Promise.all(
      Array.from({ length: processes }, (_, index) => {
        const own = Math.min(share, nodes - index * share);
        const args = ['emulate', '--nodes', String(own), '--first', String(first + index * share), ...flags, ...config];
        // The program's own flags come first, so that these count.
        const [script = '', ...before] = [...program].reverse();
        return this.#run(index, own, [...before.reverse(), ...nodeFlags, script, ...args], interactive);
      }),
    );
    if (interactive) await this.#host.terminal.write('\n', 'stderr');
  }

  #run(index: number, nodes: number, command: readonly string[], interactive: boolean): Promise<void> {
    return new Promise((resolve, reject) => {
      let last = '';
      this.#host.processes
        .start(
          { id: `emulator:${index}`, command, env: environment(), output: 'lines', graceMs: 60_000 },
          {
            onOutput: ({ line, stream }) => {
              const started = progress.exec(line)?.[1];
              if (started !== undefined) this.#tell(index, Number(started), interactive);
              else if (stream === 'stdout' && line.startsWith(`${nodes} nodes run`)) resolve();
              else if (stream === 'stderr') last = line;
            },
            onExit: ({ exitCode, signal }) => {
              const how = signal ?? `exit ${exitCode}`;
              reject(
                new PluginError('UNAVAILABLE', `process ${index + 1} of the emulator ended (${how})${last ? `: ${last}` : ''}`),
              );
            },
          },
        )
        .catch(reject);
      this.#signal.addEventListener('abort', () => reject(this.#signal.reason as Error), { once: true });
    });
  }

  #tell(index: number, started: number, interactive: boolean): void {
    this.#started[index] = started;
    const all = this.#started.reduce((sum, count) => sum + count, 0);
    if (interactive) void this.#host.terminal.write(`\r${all} / ${this.#options.nodes} nodes started`, 'stderr');
  }
}

function environment(): Record<string, string> {
  const { USER, HOME } = process.env;
  return { ...(USER !== undefined && { USER }), ...(HOME !== undefined && { HOME }) };
}
