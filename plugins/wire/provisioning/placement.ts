// Files that are put in place all together or not at all, whatever ends the process or fills the disk meanwhile. Everything is
// written beside its place first, then a journal says what is about to be renamed. Whoever starts next finishes what the
// journal has complete, and removes what it has not.

import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type PlacementJournal, validate } from '#schemas/muster/provisioning/v1/placement';
import { stagedPath, syncFolder, writeDurably, writeWhole } from '../whole-file.ts';
import { HookError } from './errors.ts';

export { stagedPath };

export interface PlacedFile {
  readonly path: string;
  readonly mode: number;
  readonly contents: string;
}

/** Replaces a folder whole. */
export interface PlacedFolder {
  readonly path: string;
  readonly files: readonly { readonly name: string; readonly mode: number; readonly contents: string }[];
}

export interface PlacementPlan {
  /** In this order, the last one last of all. */
  readonly files: readonly PlacedFile[];
  readonly folders: readonly PlacedFolder[];
  /** What goes when all is in place. */
  readonly remove: readonly string[];
}

/** Told of each step before it is done. */
export type OnStep = (step: string) => void;

const journalName = '.muster-placement.json';
const replacedEnd = '.muster-old';
const folderMode = 0o700;

/**
 * Writes all of it beside its places. Undone whole if anything fails, and then nothing has changed.
 * @param folder where the journal lies, always the same for one node
 */
export function stage(folder: string, { files, folders, remove }: PlacementPlan, onStep: OnStep = () => undefined): void {
  // What an earlier one could not finish is finished first, or this one not begun.
  settlePlacement(folder);
  const places = [...folders.map(({ path }) => path), ...files.map(({ path }) => path)];
  const moves = places.map((to) => ({ from: stagedPath(to), to }));
  const journal = { version: 1 as const, moves, remove: [...remove] };
  try {
    onStep('journal');
    writeJournal(folder, { ...journal, state: 'staging' });
    for (const { path, files: inside } of folders) {
      onStep(`stage ${path}`);
      stageFolder(stagedPath(path), inside);
    }
    for (const { path, mode, contents } of files) {
      onStep(`stage ${path}`);
      mkdirSync(dirname(path), { recursive: true, mode: folderMode });
      writeDurably(stagedPath(path), contents, mode);
    }
  } catch (error) {
    undoStaging(folder);
    throw error;
  }
}

/** Puts in place what was staged. Once the journal says so it will be, by the next start at the latest. */
export function place(folder: string, onStep: OnStep = () => undefined): void {
  const journal = readJournal(folder);
  if (!journal) throw new HookError('HOOK_CONFIG', `nothing is staged in ${folder}`);
  try {
    onStep('commit');
    writeJournal(folder, { ...journal, state: 'placing' });
  } catch (error) {
    undoStaging(folder);
    throw error;
  }
  finish(folder, journal, onStep);
}

/** Removes what was staged and not put in place. */
export function undoStaging(folder: string): void {
  const journal = readJournal(folder);
  if (journal?.state !== 'staging') return;
  for (const { from } of journal.moves) removeIfPossible(from);
  rmSync(join(folder, journalName), { force: true });
}

/** For the start of a node: finishes or removes what an earlier process left behind. Tells which. */
export function settlePlacement(folder: string): 'finished' | 'removed' | undefined {
  const journal = readJournal(folder);
  rmSync(stagedPath(join(folder, journalName)), { force: true });
  if (!journal) return undefined;
  if (journal.state === 'staging') {
    undoStaging(folder);
    return 'removed';
  }
  finish(folder, journal, () => undefined);
  return 'finished';
}

function finish(folder: string, { moves, remove }: PlacementJournal, onStep: OnStep): void {
  for (const { from, to } of moves) {
    onStep(`place ${to}`);
    replace(from, to, onStep);
  }
  for (const path of remove) {
    onStep(`remove ${path}`);
    rmSync(path, { recursive: true, force: true });
  }
  onStep('done');
  rmSync(join(folder, journalName), { force: true });
  syncFolder(folder);
}

/** Safe to do again: what is no longer staged is in its place already. */
function replace(from: string, to: string, onStep: OnStep): void {
  const replaced = `${to}${replacedEnd}`;
  if (existsSync(from)) {
    if (isFolder(from) && existsSync(to)) {
      rmSync(replaced, { recursive: true, force: true });
      renameSync(to, replaced);
      onStep(`between ${to}`);
    }
    renameSync(from, to);
    syncFolder(dirname(to));
  }
  rmSync(replaced, { recursive: true, force: true });
}

function stageFolder(path: string, files: PlacedFolder['files']): void {
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { recursive: true, mode: folderMode });
  for (const { name, mode, contents } of files) {
    const file = join(path, name);
    mkdirSync(dirname(file), { recursive: true, mode: folderMode });
    writeDurably(file, contents, mode);
    syncFolder(dirname(file));
  }
}

function writeJournal(folder: string, journal: PlacementJournal): void {
  writeWhole(join(folder, journalName), JSON.stringify(journal), 0o600);
}

function readJournal(folder: string): PlacementJournal | undefined {
  const file = join(folder, journalName);
  if (!existsSync(file)) return undefined;
  const value = parse(readFileSync(file, 'utf8'));
  if (validate(value)) return value;
  throw new HookError('HOOK_CONFIG', `${file} is no journal of files to be put in place; look at what it names and remove it`);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** What could not be written can't be removed either; the rest has to go all the same. */
function removeIfPossible(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {
    // Its own error is told already.
  }
}

function isFolder(path: string): boolean {
  return statSync(path).isDirectory();
}
