// Looks at the files of a chain from their first line to their last: every line follows the one before, every checkpoint is
// signed, and the end is where it was.

import { createReadStream, existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { readHead } from './chain-file.ts';
import { type ChainEntry, type ChainPlace, emptyChain, hashOf, isSigned, readLine } from './chain-format.ts';
import { rotatedFiles } from './section.ts';

export interface Verdict {
  readonly ok: boolean;
  /** Of the first thing that is wrong. */
  readonly problem?: { readonly kind: 'altered' | 'dropped' | 'moved' | 'cut' | 'unsigned'; readonly message: string };
  readonly files: readonly string[];
  readonly entries: number;
  readonly records: number;
  readonly checkpoints: number;
  /** Records that no checkpoint vouches for yet. */
  readonly unsigned: number;
  /** What signed it. */
  readonly key: string | undefined;
  /** Its last entry. Kept elsewhere, it shows later whether the chain was put back to an older state. */
  readonly last: ChainPlace | undefined;
  readonly notes: readonly string[];
}

export interface VerifyOptions {
  /** Without it the key of the first checkpoint. */
  readonly key?: string | undefined;
  /** Number of the first entry, where those before were put away. */
  readonly first?: number | undefined;
  /** Where the chain is known to have been: it must still hold that entry. */
  readonly anchor?: ChainPlace | undefined;
}

/** How often, and after how long, it is looked whether the end was signed meanwhile. */
const [headTries, headMs] = [20, 50];

class Wrong extends Error {
  readonly kind: NonNullable<Verdict['problem']>['kind'];

  /** Number of an entry that is not where it should be. */
  readonly missing: number | undefined;

  constructor(kind: NonNullable<Verdict['problem']>['kind'], message: string, missing?: number) {
    super(message);
    this.kind = kind;
    this.missing = missing;
  }
}

/** @param files of one chain; those that were put aside are found beside the one that is named */
export async function verifyChain(files: readonly string[], options: VerifyOptions): Promise<Verdict> {
  const ordered = await inOrder(files);
  const state = new State(options);
  const wrong = await firstWrong(ordered, files, state);
  const problem = wrong && { kind: wrong.kind, message: wrong.message };
  return { ok: problem === undefined, ...(problem && { problem }), files: ordered, ...state.summary };
}

async function firstWrong(ordered: readonly string[], files: readonly string[], state: State): Promise<Wrong | undefined> {
  let wrong: Wrong | undefined;
  for (const file of ordered) {
    for await (const { line, number, isWhole } of linesOf(file)) {
      const where = `${file}:${number}`;
      if (!wrong) wrong = attempt(() => state.take(line, isWhole, where));
      // What is missing in its place may stand in another.
      else if (readLine(line)?.seq === wrong.missing)
        return new Wrong('moved', `entry ${wrong.missing} was moved: it stands at ${where}`);
      if (wrong && wrong.missing === undefined) return wrong;
    }
  }
  if (wrong) return wrong;
  const head = await state.head(files, ordered);
  return attempt(() => state.end(files, ordered, head));
}

function attempt(look: () => void): Wrong | undefined {
  try {
    look();
    return undefined;
  } catch (error) {
    if (error instanceof Wrong) return error;
    throw error;
  }
}

class State {
  readonly #options: VerifyOptions;
  #key: string | undefined;
  #place: ChainPlace | undefined;
  /** Of the last line. */
  #where = '';
  /** A line that does not follow the one before: the next one tells which of the two was altered. */
  #suspect: { readonly seq: number; readonly where: string; readonly hash: string } | undefined;
  #isRotated = false;
  #entries = 0;
  #records = 0;
  #checkpoints = 0;
  #unsigned = 0;
  readonly #notes: string[] = [];

  constructor(options: VerifyOptions) {
    this.#options = options;
    this.#key = options.key;
  }

  get summary(): Omit<Verdict, 'ok' | 'files' | 'problem'> {
    return {
      entries: this.#entries,
      records: this.#records,
      checkpoints: this.#checkpoints,
      unsigned: this.#unsigned,
      key: this.#key,
      last: this.#place,
      notes: this.#notes,
    };
  }

  take(line: string, isWhole: boolean, where: string): void {
    const entry = readLine(line);
    if (this.#suspect) throw this.#blame(entry?.prev === this.#suspect.hash);
    const next = this.#place ? this.#place.seq + 1 : (this.#options.first ?? 1);
    if (!entry) {
      if (!isWhole)
        throw new Wrong('cut', `entry ${next} (${where}) is half a line: its end was cut off, or its process ended with it`);
      throw new Wrong('altered', `entry ${next} (${where}) is no entry of a chain: it was altered`);
    }
    if (!this.#follows(entry, next, where)) {
      this.#suspect = { seq: entry.seq, where, hash: hashOf(line) };
      return;
    }
    if (entry.checkpoint) this.#checkpoint(line, entry, where);
    if (entry.record) {
      this.#records += 1;
      this.#unsigned += 1;
    }
    if (entry.note) this.#note(entry, where);
    this.#place = { seq: entry.seq, hash: hashOf(line) };
    this.#holdToAnchor(entry, where);
    this.#where = where;
    this.#entries += 1;
    this.#isRotated = entry.checkpoint?.reason === 'rotate';
  }

  /** What a running service has written since counts as well. */
  end(files: readonly string[], ordered: readonly string[], head: ChainPlace | undefined): void {
    const place = this.#place;
    if (!place) throw new Wrong('dropped', `there is no entry in ${ordered.join(', ') || files.join(', ')}`);
    if (this.#suspect) throw this.#blame(head?.hash === this.#suspect.hash);
    if (head && head.seq > place.seq)
      throw new Wrong('cut', `entries ${place.seq + 1} to ${head.seq} were cut off at the end, after entry ${place.seq}`);
    if (head && head.seq === place.seq && head.hash !== place.hash)
      throw new Wrong('altered', `entry ${place.seq}, the last one, was altered`);
    if (head && head.seq < place.seq)
      throw new Wrong(
        'altered',
        `entries ${head.seq + 1} to ${place.seq} came after the end that is signed: somebody added them, or a crash left them, which the next start of the service tells`,
      );
    // A file that was put aside goes on in the next one, which need not be at hand.
    const isPutAside = this.#isRotated && files.every((file) => existsSync(file));
    if (!head && !isPutAside)
      throw new Wrong(
        'cut',
        `the chain ends at entry ${place.seq}, and no file .head beside it tells that this is its end: what came after it may have been cut off`,
      );
    const { anchor } = this.#options;
    if (anchor && anchor.seq > place.seq)
      throw new Wrong(
        'cut',
        `the chain ends at entry ${place.seq}, and was at entry ${anchor.seq} before: an older state of it was put back, or its end cut off`,
      );
    if (this.#checkpoints === 0) throw new Wrong('unsigned', 'no checkpoint vouches for any of it');
  }

  /** What tells of the end. A service that runs writes it a moment after the lines. */
  async head(files: readonly string[], ordered: readonly string[]): Promise<ChainPlace | undefined> {
    const seq = this.#place?.seq ?? 0;
    const read = () => [...files, ...ordered].map((file) => readHead(file, this.#key ?? '')).find((found) => found);
    let head = read();
    for (let tried = 0; head && head.seq < seq && tried < headTries; tried += 1) {
      await sleep(headMs);
      head = read();
    }
    return head;
  }

  /** Whoever has the key, or files from before, can make a chain that is whole; but not one that holds this hash. */
  #holdToAnchor({ seq, prev }: ChainEntry, where: string): void {
    const { anchor } = this.#options;
    if (!anchor) return;
    const isFirst = this.#entries === 0;
    if (isFirst && seq > anchor.seq + 1)
      throw new Wrong(
        'dropped',
        `it begins at entry ${seq} (${where}), after the anchor at entry ${anchor.seq}: name the files before it, or a later anchor`,
      );
    const hash = seq === anchor.seq ? this.#place?.hash : isFirst && seq === anchor.seq + 1 ? prev : anchor.hash;
    if (hash !== anchor.hash)
      throw new Wrong('altered', `entry ${anchor.seq} is not the one of the anchor: it or an entry before it was written anew`);
  }

  /** Whether it holds the hash of the line before. @throws Wrong where it is another than the next one */
  #follows({ seq, prev }: ChainEntry, next: number, where: string): boolean {
    if (this.#place === undefined && this.#options.first === undefined && seq > 1)
      throw new Wrong(
        'dropped',
        `entries 1 to ${seq - 1} are missing before ${where}; where they were put away, tell with --first ${seq}`,
      );
    if (seq > next) {
      const gap = seq === next + 1 ? `entry ${next} is` : `entries ${next} to ${seq - 1} are`;
      throw new Wrong('dropped', `${gap} missing before ${where}`, next);
    }
    if (seq < next)
      throw new Wrong('moved', `entry ${seq} (${where}) stands where entry ${next} should: it was moved, or is there twice`);
    const before = this.#place ?? (seq === 1 ? emptyChain : undefined);
    return before === undefined || prev === before.hash;
  }

  /** @param isWhole whether what follows the suspect vouches for it */
  #blame(isWhole: boolean): Wrong {
    const { seq = 0, where = '' } = this.#suspect ?? {};
    if (seq === 1) return new Wrong('altered', `entry 1 (${where}) was altered`);
    const either = isWhole ? '' : ` or entry ${seq} (${where})`;
    return new Wrong('altered', `entry ${seq - 1} (${this.#where})${either} was altered`);
  }

  #checkpoint(line: string, { seq, checkpoint }: ChainEntry, where: string): void {
    const key = this.#key ?? checkpoint?.key ?? '';
    if (checkpoint?.key !== key || !isSigned(line, key))
      throw new Wrong(
        'altered',
        `the checkpoint at entry ${seq} (${where}) is not signed by ${key.slice(0, 16)}…: it or an entry before it was altered`,
      );
    this.#key = key;
    this.#checkpoints += 1;
    this.#unsigned = 0;
  }

  #note({ seq, note }: ChainEntry, where: string): void {
    const at = new Date((note?.time ?? 0) * 1000).toISOString();
    if (note?.what === 'cut')
      throw new Wrong(
        'cut',
        `entries ${seq} to ${note.until} had been written and were cut off; the service found that at its start at ${at} (${where})`,
      );
    if (note?.what === 'altered')
      throw new Wrong(
        'altered',
        `entry ${note.until} or one before it was altered while the service did not run; it found that at its start at ${at} (${where})`,
      );
    if (note?.what === 'headless')
      throw new Wrong(
        'cut',
        `no file .head told of the end of the chain when the service started at ${at} (${where}): entries up to ${note.until} may have been altered, and some after it cut off`,
      );
    if (note?.what === 'beyond') {
      this.#notes.push(
        `at ${at} there were entries after the signed end ${note.until}, which a crash had left, or somebody had added (${where})`,
      );
      return;
    }
    this.#notes.push(`at ${at} a half-written line of ${note?.bytes} bytes was taken off, which a crash had left (${where})`);
  }
}

/** Whether it holds records, and none of a chain: nothing of it can be verified. */
export async function isPlainLog(file: string): Promise<boolean> {
  for await (const { line } of linesOf(file)) return !readLine(line) && /"(protocol|request_id|auditor)":/.test(line);
  return false;
}

/** The first entry of each tells where it belongs. */
async function inOrder(files: readonly string[]): Promise<string[]> {
  const all = files.flatMap((file) => [...rotatedFiles(file).map(({ path }) => path), ...(existsSync(file) ? [file] : [])]);
  const found = await Promise.all([...new Set(all)].map(async (file) => ({ file, seq: await firstSeq(file) })));
  return found.sort((a, b) => a.seq - b.seq).map(({ file }) => file);
}

async function firstSeq(file: string): Promise<number> {
  for await (const { line } of linesOf(file)) return readLine(line)?.seq ?? 0;
  return Number.POSITIVE_INFINITY;
}

async function* linesOf(file: string): AsyncGenerator<{ line: string; number: number; isWhole: boolean }> {
  const stream = createReadStream(file);
  let last = 10;
  stream.on('data', (chunk) => {
    last = (chunk as Buffer).at(-1) ?? last;
  });
  let number = 0;
  let held: string | undefined;
  for await (const line of createInterface({ input: stream, crlfDelay: 0 })) {
    if (held !== undefined) yield { line: held, number, isWhole: true };
    held = line;
    number += 1;
  }
  if (held !== undefined) yield { line: held, number, isWhole: last === 10 };
}
