// A chain in a file: it goes on where the one before it ended, says what it found there, and signs where it is now and then.

import type { KeyObject } from 'node:crypto';
import { createReadStream, existsSync, readFileSync, writeSync } from 'node:fs';
import { type FileHandle, open, truncate } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import { validate as isHead } from '#schemas/muster/audit/v1/chain_head';
import { publicHex, signHex, verifiesHex } from '../wire/tokens/ed25519.ts';
import { type ChainBody, type ChainPlace, emptyChain, hashOf, headText, nextLine, readLine } from './chain-format.ts';
import { GroupLog, type GroupLogSpec } from './group-log.ts';
import { AuditError, nextRotated, rotatedFiles } from './section.ts';

export interface ChainSpec {
  readonly file: string;
  readonly key: KeyObject;
  readonly maxBytes: number;
  readonly sync?: NonNullable<GroupLogSpec<ChainBody>['sync']>;
}

type Found = Pick<NonNullable<ChainBody['note']>, 'what' | 'until'>;

const tailBytes = 64 * 1024;

export const headFile = (file: string): string => `${file}.head`;

export class ChainFile {
  readonly #spec: ChainSpec;
  readonly #log: GroupLog<ChainBody>;
  readonly #publicKey: string;
  #place: ChainPlace;
  /** Of what is being written. */
  #next: ChainPlace;
  #head: FileHandle | undefined;
  #sinceCheckpoint = 0;

  private constructor(spec: ChainSpec, place: ChainPlace) {
    this.#spec = spec;
    this.#publicKey = publicHex(spec.key);
    this.#place = place;
    this.#next = place;
    this.#log = new GroupLog({
      file: spec.file,
      maxBytes: spec.maxBytes,
      render: (bodies) => this.#render(bodies),
      committed: () => this.#committed(),
      rolledBack: () => {
        this.#next = this.#place;
      },
      last: () => this.#checkpoint('rotate'),
      rotatedName: nextRotated,
      ...(spec.sync && { sync: spec.sync }),
    });
  }

  /** Mends what a crash left, and says so in the chain. @throws AuditError for a file that is no chain */
  static async open(spec: ChainSpec): Promise<ChainFile> {
    const { place, tornBytes } = await mend(spec.file);
    const head = readHead(spec.file, publicHex(spec.key));
    const chain = new ChainFile(spec, place);
    const time = Math.floor(Date.now() / 1000);
    const found = await differenceFrom(head, place, spec.file);
    await chain.#log.append([
      ...(tornBytes > 0 ? [{ note: { time, what: 'torn' as const, bytes: tornBytes } }] : []),
      ...(found ? [{ note: { time, ...found } }] : []),
      chain.#checkpoint('start'),
    ]);
    return chain;
  }

  /** Resolves when they are on disk. */
  append(records: readonly object[]): Promise<void> {
    this.#sinceCheckpoint += records.length;
    return this.#log.append(records.map((record) => ({ record: record as NonNullable<ChainBody['record']> })));
  }

  /** Signs where the chain is, if anything came since. @returns where it is then */
  async checkpoint(): Promise<ChainPlace | undefined> {
    if (this.#sinceCheckpoint === 0) return undefined;
    this.#sinceCheckpoint = 0;
    await this.#log.append([this.#checkpoint('interval')]);
    return this.#place;
  }

  async close(): Promise<void> {
    await this.#log.append([this.#checkpoint('stop')]);
    await this.#log.close();
    await this.#head?.close();
    this.#head = undefined;
  }

  #checkpoint(reason: NonNullable<ChainBody['checkpoint']>['reason']): ChainBody {
    return { checkpoint: { time: Math.floor(Date.now() / 1000), reason, key: this.#publicKey } };
  }

  #render(bodies: readonly ChainBody[]): string {
    let text = '';
    this.#next = this.#place;
    for (const body of bodies) {
      const { line, place } = nextLine(this.#next, body, this.#spec.key);
      text += line;
      this.#next = place;
    }
    return text;
  }

  /** Not flushed: what it tells of is on disk before, so that it is never ahead of the chain. */
  async #committed(): Promise<void> {
    this.#place = this.#next;
    const { seq, hash } = this.#place;
    const text = `${JSON.stringify({ seq, hash, signature: signHex(headText(this.#place), this.#spec.key) })}\n`;
    this.#head ??= await open(headFile(this.#spec.file), existsSync(headFile(this.#spec.file)) ? 'r+' : 'w+', 0o600);
    const bytes = Buffer.from(text);
    // It only ever grows by a digit, so that an older one never shows behind it.
    writeSync(this.#head.fd, bytes, 0, bytes.length, 0);
  }
}

/** The last line that a chain had, if that is known and signed by this key. */
export function readHead(file: string, publicKey: string): ChainPlace | undefined {
  try {
    const [line = ''] = readFileSync(headFile(file), 'utf8').split('\n');
    const head: unknown = JSON.parse(line);
    if (!isHead(head) || !verifiesHex(headText(head), head.signature, publicKey)) return undefined;
    return head;
  } catch {
    return undefined;
  }
}

/**
 * What is not as it was when the last line was written. The checkpoint that comes next vouches for all before it, so that
 * what was changed meanwhile has to be said now.
 */
async function differenceFrom(head: ChainPlace | undefined, place: ChainPlace, file: string): Promise<Found | undefined> {
  if (!head) return place.seq === 0 ? undefined : { what: 'headless', until: place.seq };
  if (head.seq > place.seq) return { what: 'cut', until: head.seq };
  const hash = head.seq === place.seq ? place.hash : await hashAt(file, head.seq);
  if (hash !== head.hash) return { what: 'altered', until: head.seq };
  return head.seq === place.seq ? undefined : { what: 'beyond', until: head.seq };
}

/** Of the line with this number; undefined if it is not there. */
async function hashAt(file: string, seq: number): Promise<string | undefined> {
  const files = [...rotatedFiles(file).map(({ path }) => path), file].reverse().filter((path) => existsSync(path));
  for (const path of files)
    for await (const line of createInterface({ input: createReadStream(path) }))
      if (readLine(line)?.seq === seq) return hashOf(line);
  return undefined;
}

/** Takes off a line that was half written. @returns where the chain is */
async function mend(file: string): Promise<{ place: ChainPlace; tornBytes: number }> {
  const text = existsSync(file) ? await readTail(file) : { bytes: Buffer.alloc(0), from: 0 };
  const end = text.bytes.lastIndexOf(10);
  const tornBytes = text.bytes.length - end - 1;
  if (tornBytes > 0) await truncate(file, text.from + end + 1);
  if (end === -1) {
    const before = rotatedFiles(file).at(-1);
    return { place: before ? (await mend(before.path)).place : emptyChain, tornBytes };
  }
  const line = text.bytes.subarray(text.bytes.lastIndexOf(10, end - 1) + 1, end).toString('utf8');
  const entry = readLine(line);
  if (!entry)
    throw new AuditError(
      `${file} does not end as a chain does; look at it with \`muster audit verify\`, and put it aside to begin anew`,
    );
  return { place: { seq: entry.seq, hash: hashOf(line) }, tornBytes };
}

/** The end of a file, with one whole line at least where there is one. */
async function readTail(file: string): Promise<{ bytes: Buffer; from: number }> {
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    for (let length = Math.min(size, tailBytes); ; length = Math.min(size, length * 4)) {
      const bytes = Buffer.alloc(length);
      await handle.read(bytes, 0, length, size - length);
      const end = bytes.lastIndexOf(10);
      if (length === size || (end > 0 && bytes.lastIndexOf(10, end - 1) !== -1)) return { bytes, from: size - length };
    }
  } finally {
    await handle.close();
  }
}
