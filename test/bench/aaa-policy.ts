// Evaluations of a policy a second, in the thread that is ended with one that takes too long, against the bare module in a loop.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PolicyEvaluator, type RequestFilter } from '../../plugins/wire/rego/evaluator.ts';
import { Engines } from '../support/policy-engines.ts';
import { median, type Row } from './report.ts';

const evaluations = 20_000;
const inFlight = 64;
const rounds = 5;

/** @param opa the compiler; @param policy one that allows `input` with `filter` */
export async function policyRows(opa: string, policy: string, input: object, filter: RequestFilter): Promise<Row[]> {
  const folder = mkdtempSync(join(tmpdir(), 'muster-bench-policy-'));
  const engines = new Engines(opa);
  const evaluator = new PolicyEvaluator();
  try {
    const module = engines.compile(policy);
    const [moduleFile, inputFile] = [join(folder, 'policy.wasm'), join(folder, 'input.json')];
    writeFileSync(moduleFile, module);
    writeFileSync(inputFile, JSON.stringify(input));
    const program = fileURLToPath(new URL('./floor/policy.mjs', import.meta.url));
    const bare = () =>
      evaluations /
      Number(execFileSync(process.execPath, [program, moduleFile, String(evaluations), inputFile], { encoding: 'utf8' }));
    const ours = () => evaluateMany(evaluator, { key: 'bench', module }, input, filter);
    await ours();
    const rates = Array.from({ length: rounds }, () => [0, 0] as [number, number]);
    for (const rate of rates) [rate[0], rate[1]] = [bare(), await ours()];
    const ratio = median(rates.map(([floor, rate]) => rate / floor));
    return [
      { what: 'bare evaluations of a policy (floor)', median: median(rates.map(([floor]) => floor)), unit: '/s' },
      {
        what: `evaluations in a thread, ${inFlight} under way`,
        median: median(rates.map(([, rate]) => rate)),
        unit: '/s',
        ratio,
      },
    ];
  } finally {
    await evaluator.close();
    await engines.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function evaluateMany(
  evaluator: PolicyEvaluator,
  policy: { readonly key: string; readonly module: Uint8Array },
  input: object,
  filter: RequestFilter,
): Promise<number> {
  let left = evaluations;
  const begun = performance.now();
  const one = async () => {
    while (left > 0) {
      left -= 1;
      // As an authorizer does, the document becomes text for each request.
      const evaluated = await evaluator.evaluate(policy, JSON.stringify(input), filter);
      if (!evaluated.ok || evaluated.value !== true) throw new Error('the policy does not allow it');
    }
  };
  await Promise.all(Array.from({ length: inFlight }, one));
  return evaluations / ((performance.now() - begun) / 1_000);
}
