// Placements in a file that is only added to, a line each: the last one of a node counts. Lines that are added at once are
// made durable at once.

import { existsSync, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { type Placement, placementKey, readKept } from '../../plugins/wire/provisioning/overlay-placements.ts';
import { writeWhole } from '../../plugins/wire/whole-file.ts';
import type { Ledger } from './ledger.ts';

export class FileStore {
  readonly #path: string;
  #waiting: { readonly line: string; readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = [];
  #writing = false;

  private constructor(path: string) {
    this.#path = path;
  }

  static open(folder: string, ledger: Ledger): FileStore {
    const path = join(folder, 'placements.jsonl');
    const lines = existsSync(path) ? readFileSync(path, 'utf8').split('\n') : [];
    for (const line of lines) {
      const kept = readLine(line);
      if (kept?.kind === 'placement') ledger.apply(kept);
    }
    const current = [...ledger.all()];
    // Written anew where it ends in half a line, or has more old lines than others.
    if (lines.length === 0 || lines.at(-1) !== '' || lines.length > 2 * current.length + 1)
      writeWhole(path, current.map(lineOf).join(''), 0o600);
    return new FileStore(path);
  }

  write(placement: Placement): Promise<void> {
    const written = new Promise<void>((resolve, reject) => {
      this.#waiting.push({ line: lineOf(placement), resolve, reject });
    });
    if (!this.#writing) void this.#drain();
    return written;
  }

  async #drain(): Promise<void> {
    this.#writing = true;
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0);
      try {
        await this.#append(batch.map(({ line }) => line).join(''));
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    this.#writing = false;
  }

  /** Opened each time: while this bundle is reloaded two versions of it may be at work. */
  async #append(text: string): Promise<void> {
    const file = await open(this.#path, 'a', 0o600);
    try {
      await file.appendFile(text);
      await file.datasync();
    } finally {
      await file.close();
    }
  }
}

const lineOf = (placement: Placement): string => `${JSON.stringify(placement)}\n`;

/** Undefined for a line that is none, such as the half that a sudden end left. */
function readLine(line: string): ReturnType<typeof readKept> {
  return line === '' ? undefined : readKept(placementKey('any'), Buffer.from(line));
}
