// The section of an auditor in the file of the AAA service.

import { accessSync, constants, existsSync, readdirSync, rmSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { goDuration, readSection } from '../wire/aaa/settings.ts';

export type Section = Readonly<Record<string, unknown>>;

export interface AuditorConfig {
  readonly 'plugin.aaa.config'?: string;
}

export class AuditError extends Error {
  override readonly name = 'AuditError';
  readonly code = 'AUDIT';
}

/** @throws AuditError, AaaSettingsError */
export function sectionOf(config: AuditorConfig, name: string): Section {
  const file = config['plugin.aaa.config'];
  if (file === undefined) throw new AuditError(`plugin.aaa.config is not set; ${name} is read from that file`);
  const section = readSection(file, name);
  if (section === undefined) throw new AuditError(`${file} has no ${name}, which this auditor needs`);
  return section;
}

/** @throws AuditError */
export function textOf(section: Section, name: string, key: string): string {
  const value = section[key];
  if (typeof value === 'string' && value !== '') return value;
  throw new AuditError(`${name}.${key} ${value === undefined || value === '' ? 'is not set' : 'must be a text'}`);
}

/** Bytes, with `k`, `M` or `G` behind. @throws AuditError */
export function bytesOf(section: Section, name: string, key: string, preset: number): number {
  const value = section[key];
  if (value === undefined) return preset;
  const [, digits, unit = ''] = /^(\d+)([kMG]?)$/.exec(String(value)) ?? [];
  if (digits === undefined) throw new AuditError(`${name}.${key} must be a number of bytes, such as 104857600 or 100M`);
  return Number(digits) * ({ '': 1, k: 1_024, M: 1_048_576, G: 1_073_741_824 }[unit] ?? 1);
}

/** @throws AuditError */
export function numberOf(section: Section, name: string, key: string, preset: number): number {
  const value = section[key] ?? preset;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0) return value;
  throw new AuditError(`${name}.${key} must be a whole number`);
}

/** @throws AuditError */
export function durationOf(section: Section, name: string, key: string, presetMs: number): number {
  const value = section[key];
  if (value === undefined) return presetMs;
  const ms = typeof value === 'string' ? goDuration(value) : undefined;
  if (ms === undefined || ms <= 0) throw new AuditError(`${name}.${key} must be a duration such as 30s or 5m`);
  return ms;
}

/** Why a file could not be written, if it could not. */
export function* fileProblems(name: string, file: string): Generator<string> {
  const target = existsSync(file) ? file : dirname(file);
  try {
    accessSync(target, constants.W_OK);
  } catch (error) {
    yield `${name}: ${file} can not be written: ${(error as Error).message}`;
  }
}

/** Runs what reads a configuration. @returns what is wrong with it */
export function problemsOf(read: () => Iterable<string>): string[] {
  try {
    return [...read()];
  } catch (error) {
    return [(error as Error).message];
  }
}

/** The number of a file that was put aside as `<file>.<number>`; undefined if it is none of them. */
export function rotationOf(file: string, candidate: string): number | undefined {
  const start = `${basename(file)}.`;
  const name = basename(candidate);
  const number = name.startsWith(start) ? name.slice(start.length) : '';
  return /^\d{1,9}$/.test(number) ? Number(number) : undefined;
}

/** Files that were put aside, the oldest first where numbers grow with age. */
export function rotatedFiles(file: string): { readonly path: string; readonly number: number }[] {
  const folder = dirname(file);
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .flatMap((entry) => {
      const number = rotationOf(file, entry);
      return number === undefined ? [] : [{ path: join(folder, entry), number }];
    })
    .sort((a, b) => a.number - b.number);
}

/** Makes room at `<file>.1`: each becomes one older, and what is past `keep` ends. */
export async function shiftRotated(file: string, keep: number): Promise<string> {
  for (const { path, number } of rotatedFiles(file).reverse()) {
    if (number >= keep) rmSync(path, { force: true });
    else await rename(path, `${file}.${number + 1}`);
  }
  return `${file}.1`;
}

/** The next number, where none may end. */
export async function nextRotated(file: string): Promise<string> {
  return `${file}.${(rotatedFiles(file).at(-1)?.number ?? 0) + 1}`;
}
