// A section of the JSON file of an AAA service, for the plugin whose settings it holds.

import { readFileSync } from 'node:fs';
import { AaaError } from './errors.ts';

/** The object under this key; undefined if there is none. @throws AaaError `AAA_SETTINGS` */
export function readSection(file: string, name: string): Readonly<Record<string, unknown>> | undefined {
  const section = readWhole(file)[name];
  if (section === undefined || isObject(section)) return section;
  throw new AaaError('AAA_SETTINGS', `${file}: ${name} must be an object`);
}

export function readWhole(file: string): Readonly<Record<string, unknown>> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new AaaError('AAA_SETTINGS', `the settings of the AAA service can not be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
  const value = parsed(text);
  if (isObject(value)) return value;
  throw new AaaError('AAA_SETTINGS', `${file} does not hold a JSON object`);
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
