// The audit log of a node: one compact JSON line a request, appended in order (format of Choria's audit log).

import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, existsSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import type { Host } from '../../core/sdk/typescript/index.ts';
import type { NodeRecord } from './record.ts';

interface Config {
  readonly 'plugin.rpcaudit.logfile'?: string;
  readonly 'plugin.rpcaudit.logfile.mode'?: string;
  readonly 'plugin.rpcaudit.logfile.group'?: string;
}

export class NodeLog {
  readonly #host: Host;
  readonly #config: Config;
  #lines: string[] = [];
  #writing: Promise<void> | undefined;
  #warned = false;

  constructor(host: Host) {
    this.#host = host;
    this.#config = host.config as Config;
  }

  /** Resolves when the lines are in the file. Lines of several callers share one write. */
  async append(records: readonly NodeRecord[]): Promise<{ written: number }> {
    const file = this.#config['plugin.rpcaudit.logfile'];
    if (file === undefined) {
      if (!this.#warned) this.#host.log.warn('plugin.rpcaudit.logfile is not set; no audit log is written');
      this.#warned = true;
      return { written: 0 };
    }
    this.#lines.push(...records.map(line));
    this.#writing ??= this.#write(file);
    await this.#writing;
    return { written: records.length };
  }

  async drained(): Promise<void> {
    await this.#writing;
  }

  async #write(file: string): Promise<void> {
    // One turn of the event loop, so that what came together is written together.
    await new Promise((resolve) => setImmediate(resolve));
    try {
      while (this.#lines.length > 0) await this.#writeLines(file, this.#lines.splice(0));
    } finally {
      // In the same turn as the last look, so that nobody is told of lines that are still to be written.
      this.#writing = undefined;
    }
  }

  async #writeLines(file: string, lines: readonly string[]): Promise<void> {
    const mode = parseMode(this.#config['plugin.rpcaudit.logfile.mode'] ?? '0600');
    const isNew = !existsSync(file);
    // Opened by name each time, so that a rotated file is left behind.
    await appendFile(file, lines.join(''), { mode });
    if (isNew) chmodSync(file, mode);
    const group = this.#config['plugin.rpcaudit.logfile.group'];
    if (group !== undefined && isNew) chownSync(file, process.getuid?.() ?? 0, groupId(group));
  }
}

function line(record: NodeRecord): string {
  const { request_id, request_time, caller, sender, agent, action, data } = record;
  return `${JSON.stringify({ timestamp: timestamp(new Date()), request_id, request_time, caller, sender, agent, action, data })}\n`;
}

/** UTC with six decimals and a numeric zone without colon. */
function timestamp(now: Date): string {
  return `${now.toISOString().slice(0, -1)}000+0000`;
}

/** With a leading zero octal, otherwise decimal, as Choria reads it. */
function parseMode(text: string): number {
  return text.startsWith('0') ? Number.parseInt(text, 8) : Number(text);
}

function groupId(name: string): number {
  const entry = execFileSync('getent', ['group', name], { encoding: 'utf8' });
  return Number(entry.split(':')[2]);
}
