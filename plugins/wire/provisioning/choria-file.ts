// The YAML file of Choria's provisioner, as values by the names of its keys; features have their name after a dot.

import { parse } from 'yaml';
import { type ProvisionerFile, validate } from '#schemas/muster/provisioning/v1/provisioner_file';
import { parseDuration } from '../duration.ts';
import { HookError } from './errors.ts';

const durations: ReadonlySet<string> = new Set(['interval', 'server_jwt_validity']);

/** Durations are milliseconds. @throws HookError `HOOK_CONFIG` naming the key */
export function readProvisionerFile(text: string): Readonly<Record<string, unknown>> {
  const value: unknown = parse(text) ?? {};
  if (!validate(value)) {
    const [first] = validate.errors ?? [];
    throw new HookError(
      'HOOK_CONFIG',
      `${first?.instancePath.slice(1).replaceAll('/', '.') || 'it'} ${first?.message ?? 'is wrong'}`,
    );
  }
  const { features, ...keys }: ProvisionerFile = value;
  return {
    ...Object.fromEntries(Object.entries(keys).map(([key, part]) => [key, durations.has(key) ? durationOf(key, part) : part])),
    ...Object.fromEntries(Object.entries(features ?? {}).map(([name, on]) => [`features.${name}`, on])),
  };
}

function durationOf(key: string, value: unknown): number {
  const ms = parseDuration(String(value));
  if (ms === undefined) throw new HookError('HOOK_CONFIG', `${key} is no duration such as 1m or 1y`);
  return ms;
}
