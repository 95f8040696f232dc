// The records of nodes in a journal, for brokers without JetStream: one JSON line a change, written anew when it has grown.

import { closeSync, existsSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { writeWhole } from '../wire/whole-file.ts';
import { type Held, type NodeRecord, readRecord, type Store } from './store.ts';

/** Lines beyond the records that are there. */
const slack = 10_000;
const keepMs = 6 * 3_600_000;

interface Control {
  readonly epoch: number;
  readonly paused: boolean;
}

export class FileStore implements Store {
  readonly kind = 'file';
  readonly #journal: string;
  readonly #control: string;
  readonly #records = new Map<string, Held>();
  #file: number | undefined;
  #lines = 0;

  constructor(folder: string) {
    this.#journal = join(folder, 'nodes.jsonl');
    this.#control = join(folder, 'control.json');
  }

  load(): Promise<readonly Held[]> {
    this.#records.clear();
    const text = existsSync(this.#journal) ? readFileSync(this.#journal, 'utf8') : '';
    // The last line may have been cut off by a sudden end.
    for (const line of text.split('\n')) {
      const record = readRecord(Buffer.from(line));
      if (record) this.#records.set(record.identity, { record, revision: record.at });
    }
    this.#rewrite();
    return Promise.resolve([...this.#records.values()]);
  }

  get(identity: string): Promise<Held | undefined> {
    return Promise.resolve(this.#records.get(identity));
  }

  write(record: NodeRecord): Promise<number | null> {
    this.#records.set(record.identity, { record, revision: record.at });
    if (this.#file === undefined || this.#lines > this.#records.size + slack) this.#rewrite();
    else {
      writeSync(this.#file, `${JSON.stringify(record)}\n`);
      this.#lines += 1;
    }
    return Promise.resolve(record.at);
  }

  nextEpoch(): Promise<number> {
    const control = this.#readControl();
    const epoch = Math.max(Date.now(), control.epoch + 1);
    writeWhole(this.#control, JSON.stringify({ ...control, epoch }), 0o600);
    return Promise.resolve(epoch);
  }

  isPaused(): Promise<boolean> {
    return Promise.resolve(this.#readControl().paused);
  }

  setPaused(paused: boolean): Promise<void> {
    writeWhole(this.#control, JSON.stringify({ ...this.#readControl(), paused }), 0o600);
    return Promise.resolve();
  }

  close(): Promise<void> {
    if (this.#file !== undefined) closeSync(this.#file);
    this.#file = undefined;
    return Promise.resolve();
  }

  #rewrite(): void {
    if (this.#file !== undefined) closeSync(this.#file);
    const oldest = Date.now() - keepMs;
    for (const [identity, { record }] of this.#records) if (record.at < oldest) this.#records.delete(identity);
    writeWhole(this.#journal, [...this.#records.values()].map(({ record }) => `${JSON.stringify(record)}\n`).join(''), 0o600);
    this.#lines = this.#records.size;
    this.#file = openSync(this.#journal, 'a', 0o600);
  }

  #readControl(): Control {
    try {
      const { epoch, paused } = JSON.parse(readFileSync(this.#control, 'utf8')) as Partial<Control>;
      return { epoch: typeof epoch === 'number' ? epoch : 0, paused: paused === true };
    } catch {
      return { epoch: 0, paused: false };
    }
  }
}
