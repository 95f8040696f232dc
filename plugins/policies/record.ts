// What was made of a policy, as text for files and for the shared store, and back. Nothing of it is believed: what is read
// has to be about the policy that was asked for, and the modules have to have the hashes that it tells.

import { createHash, type KeyObject, sign, verify } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { type PolicyRecord, validate } from '#schemas/muster/policy/v1/record';
import { maxModuleBytes, moduleKey, type PolicyUse } from '../wire/rego/policy-use.ts';

export type { PolicyRecord };

/** What is larger was not written here. */
export const maxRecordBytes = 2 * 1024 * 1024;

export class RecordError extends Error {
  override readonly name = 'RecordError';
  readonly code = 'POLICY_RECORD';
}

export interface Wanted {
  readonly policy: string;
  readonly use: PolicyUse;
}

/** @throws RecordError */
export function readRecord(text: string, { policy, use }: Wanted): PolicyRecord {
  const record = parsed(text);
  if (record.policy !== policy || record.use !== use) throw new RecordError('it is about another policy');
  const { result, compiler } = record;
  if (!result.ok) return record;
  if (result.key !== moduleKey({ policy, use, dialect: result.dialect, compiler }))
    throw new RecordError('its key is not that of this policy and compiler');
  moduleOf(result);
  if (record.explainer?.module !== undefined) explainerOf(record.explainer);
  return record;
}

function parsed(text: string): PolicyRecord {
  if (text.length > maxRecordBytes) throw new RecordError(`it has more than ${maxRecordBytes} bytes`);
  let record: unknown;
  try {
    record = JSON.parse(text);
  } catch {
    throw new RecordError('it is no JSON');
  }
  if (validate(record)) return record;
  const [error] = validate.errors ?? [];
  throw new RecordError(`${error?.instancePath.slice(1).replaceAll('/', '.') || 'it'} ${error?.message ?? 'is not valid'}`);
}

export function packModule(module: Uint8Array): { readonly module: string; readonly sha256: string } {
  return { module: gzipSync(module).toString('base64'), sha256: hashOf(module) };
}

/** @throws RecordError */
export function moduleOf({ module, sha256 }: { readonly module: string; readonly sha256: string }): Buffer {
  let bytes: Buffer;
  try {
    bytes = gunzipSync(Buffer.from(module, 'base64'), { maxOutputLength: maxModuleBytes });
  } catch {
    throw new RecordError('its module is damaged');
  }
  if (hashOf(bytes) !== sha256) throw new RecordError('its module is not the one that was made: the hashes differ');
  return bytes;
}

/** The module that explains; undefined if there is none. @throws RecordError */
export function explainerOf({ module, sha256 }: NonNullable<PolicyRecord['explainer']>): Buffer | undefined {
  if (module === undefined || sha256 === undefined) return undefined;
  return moduleOf({ module, sha256 });
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

/** What is signed begins with this, so that a signature over it is good for nothing else that the key signs. */
const signedAs = 'muster-policy-record-1\n';

/** For a store that others may write to as well: with a signature of whoever compiled it. */
export function sealRecord(record: PolicyRecord, key: KeyObject): Buffer {
  const text = JSON.stringify(record);
  const signature = sign(hashFor(key), Buffer.from(signedAs + text), key);
  return Buffer.from(`${signature.toString('base64url')}\n${text}`);
}

/** @param trusted whose records are believed. @throws RecordError */
export function openRecord(bytes: Uint8Array, trusted: readonly KeyObject[], wanted: Wanted): PolicyRecord {
  if (bytes.length > maxRecordBytes) throw new RecordError(`it has more than ${maxRecordBytes} bytes`);
  const all = Buffer.from(bytes).toString();
  const end = all.indexOf('\n');
  const [signature, text] = [Buffer.from(all.slice(0, Math.max(end, 0)), 'base64url'), all.slice(end + 1)];
  const signed = Buffer.from(signedAs + text);
  if (!trusted.some((key) => verify(hashFor(key), signed, key, signature)))
    throw new RecordError('none of the keys of plugin.muster.policies.trusted_keys signed it');
  return readRecord(text, wanted);
}

function hashFor({ asymmetricKeyType }: KeyObject): string | null {
  return asymmetricKeyType === 'rsa' ? 'sha256' : null;
}
