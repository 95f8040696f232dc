// What a policy is for: where its answer is, which functions it may call, and the keys under which what was made of it is kept.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';

/** A policy in a token, or one in a file on a node. */
export type PolicyUse = 'token' | 'node';
/** Rego with `if` and without, as `opa` takes it: no mode takes both. */
export type Dialect = 'v1' | 'v0';

export interface UseRules {
  readonly package: string;
  /** For the compiler: with slashes. */
  readonly entrypoint: string;
  readonly query: string;
}

export const uses: Readonly<Record<PolicyUse, UseRules>> = {
  token: rules('io.choria.aaasvc'),
  node: rules('io.choria.mcorpc.authpolicy'),
};

/** Policies of tens of kilobytes are large already; a token has to carry them. */
export const maxPolicyBytes = 256 * 1024;
/** What the compiler makes is about 140 kB, nearly all of it the same for each. */
export const maxModuleBytes = 4 * 1024 * 1024;

/** The member of the second module's set that says how far each rule came. */
export const explainedRule = 'muster_held_so_far';

/** Functions of a filter, which only policies in tokens have. */
const filterFunctions: readonly (readonly [name: string, args: number])[] = [
  ['requires_filter', 0],
  ['requires_fact_filter', 1],
  ['requires_class_filter', 1],
  ['requires_identity_filter', 1],
];

interface Capabilities {
  readonly builtins: readonly { readonly name: string }[];
}

/**
 * What policies may call, for the compiler: all that is pure and that the evaluation has. Neither the network nor the process
 * nor dice are in it, so that a policy that asks for them is refused when it is compiled.
 */
export const capabilities: Readonly<Record<PolicyUse, string>> = readCapabilities();

function readCapabilities(): Record<PolicyUse, string> {
  const base = JSON.parse(readFileSync(new URL('./capabilities.json', import.meta.url), 'utf8')) as Capabilities;
  const own = filterFunctions.map(([name, count]) => ({
    name,
    decl: { type: 'function', args: Array.from({ length: count }, () => ({ type: 'string' })), result: { type: 'boolean' } },
  }));
  return { node: JSON.stringify(base), token: JSON.stringify({ ...base, builtins: [...base.builtins, ...own] }) };
}

/** Under what it is looked up, by those who have no compiler as well: the text, what it is for, and what it may call. */
export function sourceKey(policy: string, use: PolicyUse): string {
  return digest('muster-policy-1', uses[use].entrypoint, digest(capabilities[use]), policy);
}

/** What the module depends on. */
export function moduleKey(parts: {
  readonly policy: string;
  readonly use: PolicyUse;
  readonly dialect: Dialect;
  readonly compiler: string;
}): string {
  const { policy, use, dialect, compiler } = parts;
  return digest('muster-module-1', uses[use].entrypoint, digest(capabilities[use]), policy, dialect, compiler);
}

/** Of all parts with their lengths, so that none runs into the next. */
function digest(...parts: readonly string[]): string {
  const hash = createHash('sha256');
  for (const part of parts) {
    const bytes = Buffer.from(part);
    hash.update(`${bytes.length}:`).update(bytes);
  }
  return hash.digest('hex');
}

function rules(name: string): UseRules {
  return { package: name, entrypoint: `${name.replaceAll('.', '/')}/allow`, query: `data.${name}.allow` };
}
