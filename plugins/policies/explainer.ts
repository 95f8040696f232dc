// Makes what explains a policy: its outline, and a module that tells how far each rule came.

import { type Dialect, explainedRule, type PolicyUse, uses } from '../wire/rego/policy-use.ts';
import type { Opa } from './opa.ts';
import { explainingSource, keptOutline, outlineOf } from './outline.ts';
import { type PolicyRecord, packModule } from './record.ts';

/** Each try leaves out what could not be compiled. */
const maxTries = 6;

/** An outline alone where no module can be made. @throws CompilerError */
export async function makeExplainer(
  opa: Opa,
  policy: string,
  use: PolicyUse,
  dialect: Dialect,
): Promise<NonNullable<PolicyRecord['explainer']>> {
  const rules = outlineOf(await opa.parse(policy, use, dialect));
  const without = new Set<string>();
  const module = await makeModule(opa, policy, use, dialect, rules, without);
  return { rules: keptOutline(rules, without), ...(module && packModule(module)) };
}

/** @param without is told which members can not be compiled */
async function makeModule(
  opa: Opa,
  policy: string,
  use: PolicyUse,
  dialect: Dialect,
  rules: ReturnType<typeof outlineOf>,
  without: Set<string>,
): Promise<Uint8Array | undefined> {
  const entrypoint = `${uses[use].package.replaceAll('.', '/')}/${explainedRule}`;
  for (let tries = 0; tries < maxTries; tries += 1) {
    const explaining = explainingSource(policy, dialect, rules, without);
    if (!explaining) return undefined;
    const compiled = await opa.compileAs(dialect, explaining.source, use, [entrypoint]);
    if (compiled.ok) return compiled.module;
    const bad = [...compiled.reason.matchAll(/^line (\d+):/gm)].flatMap(([, line]) => {
      const found = explaining.lines.findLast(([, first]) => first <= Number(line));
      return found ? [found[0]] : [];
    });
    if (bad.length === 0) return undefined;
    for (const member of bad) without.add(member);
  }
  return undefined;
}
