// The file of overlays: read again when it changes, and checked as a whole before anything of it counts.

import { readFileSync, statSync } from 'node:fs';
import { parse } from 'yaml';
import { type Overlays, validate } from '#schemas/muster/placement/v1/overlays';
import { type FactFilter, matchFact, parseFactString } from '../../plugins/wire/fact-string.ts';
import { buildFilter, type NodeFacts } from '../../plugins/wire/filter.ts';
import { localMatcher } from '../../plugins/wire/local-filter.ts';
import { HookError } from '../../plugins/wire/provisioning/errors.ts';

export type Overlay = Overlays['overlays'][number];
type RuleSpec = Omit<NonNullable<Overlays['rules']>[number], 'overlays'> & { readonly overlays: readonly string[] };

/** What a rule is held against. */
export interface Candidate extends NodeFacts {
  /** What the token says. */
  readonly extensions: unknown;
  readonly ou: string | undefined;
}

export interface Rule {
  readonly overlays: readonly string[];
  readonly together: string | undefined;
  readonly spread: string | undefined;
  fits(node: Candidate): boolean;
}

export interface Plan {
  readonly overlays: ReadonlyMap<string, Overlay>;
  readonly rules: readonly Rule[];
}

export const fileKey = 'plugin.muster.placement.overlays';

export class OverlayFile {
  readonly #file: string;
  #version = '';
  #plan: Plan | undefined;

  constructor(file: string | undefined) {
    if (!file) throw new HookError('HOOK_CONFIG', `the hook placement needs a file of overlays; set ${fileKey}`);
    this.#file = file;
  }

  /** @throws HookError `HOOK_CONFIG` naming the file and what is wrong in it */
  read(): Plan {
    const version = this.#attempt(() => {
      const { mtimeMs, size, ino } = statSync(this.#file);
      return `${mtimeMs} ${size} ${ino}`;
    });
    if (this.#plan && version === this.#version) return this.#plan;
    this.#plan = this.#attempt(() => readPlan(readFileSync(this.#file, 'utf8')));
    this.#version = version;
    return this.#plan;
  }

  #attempt<T>(act: () => T): T {
    try {
      return act();
    } catch (error) {
      throw new HookError('HOOK_CONFIG', `${this.#file} (${fileKey}): ${(error as Error).message}`, { cause: error });
    }
  }
}

/** @throws Error that names the place and what to do */
export function readPlan(text: string): Plan {
  const content: unknown = parse(text);
  if (!validate(content)) {
    const [problem] = validate.errors ?? [];
    throw new Error(`${problem?.instancePath.slice(1).replaceAll('/', '.') || 'it'} ${problem?.message ?? 'does not fit'}`);
  }
  const overlays = new Map(content.overlays.map((overlay) => [overlay.name, overlay]));
  if (overlays.size < content.overlays.length) throw new Error('two overlays have one name; give each its own');
  const rules: readonly RuleSpec[] = content.rules ?? [{ overlays: [...overlays.keys()] }];
  return { overlays, rules: rules.map((rule, index) => readRule(rule, `rules.${index}`, content, overlays)) };
}

function readRule(spec: RuleSpec, place: string, { together, spread }: Overlays, overlays: ReadonlyMap<string, Overlay>): Rule {
  const unknown = spec.overlays.find((name) => !overlays.has(name));
  if (unknown !== undefined) throw new Error(`${place} names the overlay ${unknown}, which is none; add it to overlays`);
  const extensions = (spec.extensions ?? []).map((text) => readExtension(text, place));
  const matches = matcherOf(spec, place);
  return {
    overlays: spec.overlays,
    together: spec.together ?? together,
    spread: spec.spread ?? spread,
    fits: (node) =>
      (spec.ou === undefined || spec.ou === node.ou) && extensions.every((extension) => holds(node, extension)) && matches(node),
  };
}

function matcherOf(
  { facts = [], classes = [], identities = [], expression }: RuleSpec,
  place: string,
): (node: NodeFacts) => boolean {
  try {
    return localMatcher(buildFilter({ facts, classes, identities, ...(expression !== undefined && { compound: expression }) }));
  } catch (error) {
    throw new Error(`${place}: ${(error as Error).message}`, { cause: error });
  }
}

function readExtension(text: string, place: string): FactFilter {
  const filter = parseFactString(text);
  if (filter) return filter;
  throw new Error(`${place}: '${text}' says nothing of an extension; write it as name=value, with one of = != =~ < > <= >=`);
}

/** A comparison that makes no sense is no match. */
function holds({ extensions }: Candidate, filter: FactFilter): boolean {
  try {
    return matchFact(extensions ?? {}, filter);
  } catch {
    return false;
  }
}
