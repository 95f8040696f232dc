// The same policy in our evaluation and in Go's: what each makes of it.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileInTar } from '../../plugins/policies/tar.ts';
import { type Evaluated, PolicyEvaluator, type RequestFilter } from '../../plugins/wire/rego/evaluator.ts';
import { capabilities, type PolicyUse, uses } from '../../plugins/wire/rego/policy-use.ts';

export class Engines {
  readonly folder = mkdtempSync(join(tmpdir(), 'muster-test-policy-'));
  readonly evaluator = new PolicyEvaluator();
  readonly #opa: string;

  constructor(opa: string) {
    this.#opa = opa;
  }

  /** The module that opa makes, by the name of its file. */
  compile(policy: string, use: PolicyUse = 'token', flags: readonly string[] = []): Uint8Array {
    writeFileSync(join(this.folder, 'policy.rego'), policy);
    writeFileSync(join(this.folder, 'capabilities.json'), capabilities[use]);
    this.#run([
      'build',
      '-t',
      'wasm',
      '-e',
      uses[use].entrypoint,
      ...flags,
      '--capabilities',
      'capabilities.json',
      '-o',
      'b.tar.gz',
      'policy.rego',
    ]);
    const module = fileInTar(readFileSync(join(this.folder, 'b.tar.gz')), 'policy.wasm', 8 * 1024 * 1024);
    if (!module) throw new Error('there is no module in what opa wrote');
    return Uint8Array.from(module);
  }

  /** What Go's evaluation gives; undefined if nothing. */
  evaluateByGo(policy: string, input: object): unknown {
    writeFileSync(join(this.folder, 'policy.rego'), policy);
    writeFileSync(join(this.folder, 'input.json'), JSON.stringify(input));
    const out = this.#run(['eval', '--format', 'json', '-d', 'policy.rego', '-i', 'input.json', uses.token.query]);
    const { result } = JSON.parse(out) as { result?: { expressions: { value: unknown }[] }[] };
    return result?.[0]?.expressions[0]?.value;
  }

  evaluate(policy: string, input: object, filter?: RequestFilter): Promise<Evaluated> {
    const module = this.compile(policy);
    return this.evaluator.evaluate({ key: policy, module }, JSON.stringify(input), filter);
  }

  async close(): Promise<void> {
    await this.evaluator.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  #run(args: readonly string[]): string {
    const { status, stdout, stderr } = spawnSync(this.#opa, args, { cwd: this.folder, encoding: 'utf8', env: {} });
    if (status !== 0) throw new Error(`opa ${args[0]}: ${stderr}${stdout}`);
    return stdout;
  }
}
