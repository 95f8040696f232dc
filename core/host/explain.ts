// Why a program did not start, in one message that a person can act on.

import { closeSync, openSync, readSync, statSync } from 'node:fs';
import { access, constants } from 'node:fs/promises';
import { delimiter, isAbsolute, join } from 'node:path';

/** As it reads byte by byte. */
const byteOrderMark = '\xef\xbb\xbf';

/** As an ELF file names them. */
const machines: Readonly<Record<string, number>> = { x64: 62, arm64: 183, arm: 40, riscv64: 243 };

export interface FailedStart {
  readonly command: readonly string[];
  readonly path: string | undefined;
  readonly problem: string;
  readonly exitCode?: number | null;
  readonly signal?: string | null;
  readonly firstStdout?: string | undefined;
  readonly stderr?: readonly string[];
}

/** Everything that is known about a failed start: path, mode, owner, interpreter, architecture, end, output, what to try. */
export async function explainFailedStart(failed: FailedStart): Promise<string> {
  const program = failed.command[0] ?? '';
  const path = await find(program, failed.path);
  const lines = [`${failed.problem}`, `command: ${failed.command.join(' ')}`];
  if (path === undefined) {
    if (isAbsolute(program)) lines.push(`${program} does not exist; try: build it, or correct \`command:\` in bundle.yaml`);
    else
      lines.push(
        `${program} is not on PATH (${failed.path ?? 'empty'}); try: install ${program}, or correct \`command:\` in bundle.yaml`,
      );
    return lines.join('; ');
  }
  lines.push(...describeFile(path));
  if (failed.exitCode !== undefined && failed.exitCode !== null) lines.push(`exit code: ${failed.exitCode}`);
  if (failed.signal) lines.push(`ended by ${failed.signal}`);
  if (failed.firstStdout) lines.push(`first line on stdout: ${failed.firstStdout.slice(0, 200)}`);
  if (failed.stderr && failed.stderr.length > 0)
    lines.push(`last lines on stderr: ${failed.stderr.slice(-5).join(' | ').slice(0, 1000)}`);
  return lines.join('; ');
}

function describeFile(path: string): string[] {
  const stat = statSync(path);
  const mode = (stat.mode & 0o7777).toString(8).padStart(4, '0');
  const lines = [`file: ${path}, mode ${mode}, owner ${stat.uid}:${stat.gid}`];
  if ((stat.mode & 0o111) === 0) lines.push(`it is not executable; try: chmod +x ${path}`);
  const head = readHead(path);
  if (head.startsWith('#!')) {
    const [firstLine = ''] = head.slice(2).split('\n');
    const interpreter = firstLine.trim();
    lines.push(`interpreter: ${interpreter}`);
    const [program = ''] = interpreter.split(' ');
    if (firstLine.endsWith('\r')) lines.push('the first line ends in a carriage return; try: save the file with Unix line ends');
    else if (!exists(program))
      lines.push(`the interpreter ${program} does not exist; try: install it, or correct the first line`);
  } else if (head.startsWith(byteOrderMark)) {
    lines.push('it begins with a byte order mark, so that the shell runs it; try: save the file as UTF-8 without one');
  } else if (head.startsWith('\x7fELF')) {
    const [machine, own] = [head.charCodeAt(18), machines[process.arch]];
    if (own !== undefined && machine !== own)
      lines.push(
        `it is built for another processor (ELF machine ${machine}, this is ${process.arch}); try: build it for this one`,
      );
  } else if ((stat.mode & 0o111) !== 0) {
    lines.push('it has neither a `#!` line nor a known executable format');
  }
  return lines;
}

/** What is to be said of a program that was run and failed, if its file shows why; else empty. */
export function hintOf(program: string): string {
  return readHead(program).startsWith(byteOrderMark)
    ? `; ${program} begins with a byte order mark, so that the shell runs it: save the file as UTF-8 without one`
    : '';
}

function readHead(path: string): string {
  try {
    const buffer = Buffer.alloc(256);
    const file = openSync(path, 'r');
    try {
      return buffer.toString('latin1', 0, readSync(file, buffer, 0, 256, 0));
    } finally {
      closeSync(file);
    }
  } catch {
    return '';
  }
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

async function find(program: string, path: string | undefined): Promise<string | undefined> {
  const candidates = program.includes('/') ? [program] : (path ?? '').split(delimiter).map((dir) => join(dir, program));
  for (const candidate of candidates) {
    const found = await access(candidate, constants.F_OK).then(
      () => true,
      () => false,
    );
    if (found) return candidate;
  }
  return undefined;
}
