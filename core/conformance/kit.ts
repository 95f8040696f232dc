// The kit: a bundle, its plugins, the checks for their runner, and what came of each.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { loadBundle } from '../host/bundle.ts';
import type { Runtime } from '../host/runtime.ts';
import type { PluginSpec } from '../host/spec.ts';
import { Conversation, type Subject } from './conversation.ts';
import { oneshotChecks } from './oneshot-checks.ts';
import { persistentChecks } from './persistent-checks.ts';

export interface CheckContext {
  readonly subject: Subject;
  /** A process of the plugin, started when it is first used. */
  readonly talk: Conversation;
  /** A further one. */
  readonly again: () => Conversation;
}

export interface Check {
  readonly name: string;
  /** What holds if it passes. */
  readonly what: string;
  /** @throws Failed */
  readonly run: (context: CheckContext) => Promise<void>;
}

export interface Outcome {
  /** `kind/name` */
  readonly plugin: string;
  readonly runner: string;
  readonly check: string;
  readonly what: string;
  readonly passed: boolean;
  /** Why it failed, or null. */
  readonly problem: string | null;
  readonly ms: number;
}

/**
 * Runs all checks on a bundle, or on one plugin of it, or one check.
 * @throws ManifestError, BundleError if the bundle can't be loaded
 */
export async function testBundle(
  runtime: Runtime,
  folder: string,
  options: { plugin?: string; check?: string; onOutcome?: (outcome: Outcome) => void } = {},
): Promise<Outcome[]> {
  const bundle = loadBundle(resolve(folder), { contract: (kind) => runtime.contract(kind) });
  const own = new Map(bundle.contracts.map((contract) => [contract.kind, contract]));
  const chosen = bundle.plugins.filter(
    ({ kind, name }) => options.plugin === undefined || name === options.plugin || `${kind}/${name}` === options.plugin,
  );
  if (chosen.length === 0)
    throw new Error(
      `${folder} has no plugin ${options.plugin}; it has ${bundle.plugins.map(({ kind, name }) => `${kind}/${name}`).join(', ')}`,
    );
  const config = defaultsOf(bundle.manifest.config?.keys ?? {});
  const outcomes: Outcome[] = [];
  for (const spec of chosen) {
    const subject: Subject = {
      spec,
      contract: own.get(spec.kind) ?? runtime.contract(spec.kind),
      capabilities: runtime.capabilities,
      config,
    };
    for (const check of spec.runner === 'oneshot' ? oneshotChecks : persistentChecks) {
      if (options.check !== undefined && options.check !== check.name) continue;
      const outcome = await runCheck(check, subject);
      outcomes.push(outcome);
      options.onOutcome?.(outcome);
    }
  }
  return outcomes;
}

async function runCheck(check: Check, subject: Subject): Promise<Outcome> {
  const { spec } = subject;
  const started = performance.now();
  const opened: Conversation[] = [];
  const folder = mkdtempSync(join(tmpdir(), 'muster-kit-'));
  const open = () => {
    const talk = new Conversation(subject, folder);
    opened.push(talk);
    return talk;
  };
  let problem: string | null = null;
  try {
    await check.run({
      subject,
      get talk() {
        return opened[0] ?? open();
      },
      again: open,
    });
  } catch (error) {
    problem = (error as Error).message;
  } finally {
    for (const talk of opened) await talk.close();
    rmSync(folder, { recursive: true, force: true });
  }
  return {
    ...describe(spec),
    check: check.name,
    what: check.what,
    passed: problem === null,
    problem,
    ms: Math.round(performance.now() - started),
  };
}

function describe({ kind, name, runner }: PluginSpec): Pick<Outcome, 'plugin' | 'runner'> {
  return { plugin: `${kind}/${name}`, runner };
}

function defaultsOf(keys: Readonly<Record<string, { default?: unknown }>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(keys).flatMap(([key, spec]) => (spec.default === undefined ? [] : [[key, spec.default]])),
  );
}
