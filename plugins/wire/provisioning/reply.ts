// What provisioning hooks are told and answer: the JSON of Choria's helpers.

import { type ProvisionReply, validate } from '#schemas/muster/provisioning/v1/reply';
import type { ProvisionRequest } from '#schemas/muster/provisioning/v1/request';
import type { Revocation } from '#schemas/muster/provisioning/v1/revocation';
import { HookError } from './errors.ts';

export type { ProvisionReply, ProvisionRequest, Revocation };

/** Helpers are read by a decoder that takes keys in any case. */
const keys = [
  'defer',
  'shutdown',
  'msg',
  'certificate',
  'ca',
  'ssldir',
  'key',
  'configuration',
  'action_policies',
  'opa_policies',
  'server_claims',
  'upgrade',
] as const;
const shownCharacters = 80;

/** Reads what a helper printed. @throws HookError `HOOK_REPLY` */
export function readHookReply(text: string): ProvisionReply {
  if (text.trim() === '') throw new HookError('HOOK_REPLY', 'it printed nothing on stdout; one JSON object is wanted');
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    const shown = text.slice(0, shownCharacters).replaceAll('\n', ' ');
    throw new HookError('HOOK_REPLY', `it printed something that is not one JSON object: ${shown}`);
  }
  return checkHookReply(value);
}

/** @throws HookError `HOOK_REPLY` */
export function checkHookReply(value: unknown): ProvisionReply {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new HookError('HOOK_REPLY', 'it printed JSON that is no object');
  const named = new Map<string, string>(keys.map((key) => [key, key]));
  // null is what is not there, as in the decoder of the original.
  const entries = Object.entries(value).filter(([, part]) => part !== null);
  const reply: unknown = Object.fromEntries(entries.map(([key, part]) => [named.get(key.toLowerCase()) ?? key, part]));
  if (validate(reply)) return reply;
  const [problem] = validate.errors ?? [];
  const at = problem?.instancePath.slice(1).replaceAll('/', '.') || 'it';
  throw new HookError('HOOK_REPLY', `its answer does not fit: ${at} ${problem?.message}`);
}
