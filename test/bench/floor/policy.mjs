// The least program that evaluates a policy: the module in a loop, on one thread, without a limit.
// Arguments: file with the module, how often, file with the input. Prints seconds.

import { readFileSync } from 'node:fs';
import { loadPolicy } from '@open-policy-agent/opa-wasm';

const [moduleFile, count, inputFile] = process.argv.slice(2);
const builtins = Object.fromEntries(
  ['requires_filter', 'requires_fact_filter', 'requires_class_filter', 'requires_identity_filter'].map((name) => [
    name,
    () => true,
  ]),
);
const policy = await loadPolicy(readFileSync(moduleFile), { initial: 5, maximum: 64 }, builtins);
const input = JSON.parse(readFileSync(inputFile, 'utf8'));
for (let turn = 0; turn < 1_000; turn += 1) policy.evaluate(input);
const begun = performance.now();
for (let turn = 0; turn < Number(count); turn += 1)
  if (policy.evaluate(input)[0]?.result !== true) throw new Error('the policy does not allow it');
process.stdout.write(`${(performance.now() - begun) / 1000}\n`);
