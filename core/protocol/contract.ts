// A contract in use: what a kind's methods take and give, checked. Knows no kind by name.

import { createRequire } from 'node:module';
import type { ErrorObject, ValidateFunction } from 'ajv';
import { type ContractDocument, validate as validateDocument } from '#schemas/core/contract';
import { bytePaths } from './bytes.ts';
import { type ContractPart, contractValidatorSources, validatorId } from './contract-schemas.mjs';
import { PluginError } from './errors.ts';
import type { BytePaths } from './messages.ts';

/** Default time for a method whose contract states none. */
export const defaultDeadlineMs = 60_000;

type Check = Pick<ValidateFunction, 'errors'> & ((value: unknown) => boolean);
export type Checks = Readonly<Record<string, Check>>;

export interface Method {
  readonly name: string;
  readonly idempotent: boolean;
  readonly streams: boolean;
  readonly deadlineMs: number;
  readonly concurrency: number | undefined;
  /** @throws PluginError `INVALID_PARAMS`, naming the field */
  readonly checkParams: (value: unknown) => void;
  /** @throws PluginError `CONTRACT`, naming the field */
  readonly checkResult: (value: unknown) => void;
  readonly checkProgress: (value: unknown) => void;
}

export interface Contract {
  readonly kind: string;
  readonly document: ContractDocument;
  readonly methods: ReadonlyMap<string, Method>;
  readonly bytes: BytePaths;
}

/**
 * Makes a contract from its document. `checks` are validators compiled at build time; without them they are compiled here.
 * @throws PluginError `CONTRACT` if the document is no contract
 */
export function createContract(document: unknown, checks?: Checks): Contract {
  if (!validateDocument(document)) throw new PluginError('CONTRACT', explain(validateDocument.errors, 'contract'));
  const compiled = checks ?? compileChecks(document);
  const methods = new Map<string, Method>();
  for (const [name, spec] of Object.entries(document.methods)) {
    const check = (part: ContractPart, code: 'INVALID_PARAMS' | 'CONTRACT') =>
      checker(compiled[validatorId(name, part)], code, part, name);
    methods.set(name, {
      name,
      idempotent: spec.idempotent ?? false,
      streams: spec.streams ?? false,
      deadlineMs: spec.deadlineMs ?? defaultDeadlineMs,
      concurrency: spec.concurrency,
      checkParams: check('params', 'INVALID_PARAMS'),
      checkResult: check('result', 'CONTRACT'),
      checkProgress: check('progress', 'CONTRACT'),
    });
  }
  return { kind: document.kind, document, methods, bytes: bytesOf(document) };
}

function compileChecks(document: ContractDocument): Checks {
  // Loaded on first use: only contracts that come with a bundle need the compiler.
  const { createContractAjv } = createRequire(import.meta.url)('./ajv.cjs') as typeof import('./ajv.cjs');
  const ajv = createContractAjv({ source: false });
  return Object.fromEntries(contractValidatorSources(document).map(([id, schema]) => [id, ajv.compile(schema)]));
}

function checker(
  check: Check | undefined,
  code: 'INVALID_PARAMS' | 'CONTRACT',
  part: ContractPart,
  method: string,
): (value: unknown) => void {
  if (!check) return () => undefined;
  return (value) => {
    if (!check(value)) throw new PluginError(code, `${part} of ${method}: ${explain(check.errors, '')}`);
  };
}

/** The first validation error in one sentence that names the field. */
export function explain(errors: readonly ErrorObject[] | null | undefined, root: string): string {
  const error = errors?.[0];
  if (!error) return `${root || 'value'} is not valid`;
  const field = `${root}${error.instancePath}`.replace(/^\//, '').replaceAll('/', '.') || 'value';
  const extra = error.keyword === 'additionalProperties' ? ` (${String(error.params.additionalProperty)})` : '';
  const allowed = error.keyword === 'enum' ? `: ${(error.params.allowedValues as unknown[]).join(', ')}` : '';
  if (error.keyword === 'bytes') return `${field} must be base64`;
  return `${field} ${error.message ?? 'is not valid'}${extra}${allowed}`;
}

function bytesOf(document: ContractDocument): BytePaths {
  const all: Record<string, Record<string, readonly (readonly string[])[]>> = {};
  for (const [name, spec] of Object.entries(document.methods)) {
    for (const part of ['params', 'result', 'progress'] as const) {
      const paths = bytePaths(spec[part]);
      if (paths.length > 0) all[name] = { ...all[name], [part]: paths };
    }
  }
  return all;
}
