// `muster policy test`, `explain` and `prepare`.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { definePlugin, type Host, printable } from '../../core/sdk/typescript/index.ts';
import type { PolicyUse } from '../wire/rego/policy-use.ts';
import { PreparedPolicies } from '../wire/rego/prepared.ts';
import { writeWhole } from '../wire/whole-file.ts';
import { type CaseOutcome, isDecided, read, readCases, runCase } from './cases.ts';
import { PolicyCommandError } from './errors.ts';
import { type ExplainOptions, explain } from './explain-command.ts';

interface Params {
  readonly command: readonly string[];
  readonly arguments: Readonly<Record<string, unknown>>;
  readonly options: Readonly<Record<string, unknown>>;
}

export default definePlugin({
  kind: 'command',
  version: '1.0.0',
  create: (host: Host) => ({
    methods: {
      'command/run': async ({ command, arguments: given, options }: Params) => {
        const [, action = ''] = command;
        const use: PolicyUse = options.node === true ? 'node' : 'token';
        if (action === 'prepare')
          return prepare(host, given.policies as readonly string[], options.into as string | undefined, use);
        const policies = new PreparedPolicies(host, use, 'the policy', false);
        try {
          if (action === 'test')
            return await testPolicy(host, policies, String(given.policy), String(given.cases), use, options.json === true);
          return await explain(host, policies, given as { policy?: string; data?: readonly string[] }, options as ExplainOptions);
        } finally {
          await policies.close();
        }
      },
    },
  }),
});

async function testPolicy(
  host: Host,
  policies: PreparedPolicies,
  policyFile: string,
  casesFile: string,
  use: PolicyUse,
  json: boolean,
): Promise<{ exitCode: number }> {
  const policy = read(policyFile);
  const cases = readCases(casesFile);
  const outcomes: CaseOutcome[] = [];
  for (const one of cases) outcomes.push(await runCase(policies, policy, use, one));
  const failures = outcomes.filter(({ passed }) => !passed);
  if (json) {
    const listed = outcomes.map(({ name, passed, expected, decision }) => ({ name, passed, expected, ...decision }));
    await host.terminal.write(
      `${JSON.stringify({ policy: policyFile, passed: failures.length === 0, cases: listed }, null, 2)}\n`,
    );
  } else {
    await host.terminal.write(outcomes.map(text).join(''));
    const count = outcomes.length === 1 ? '1 case' : `${outcomes.length} cases`;
    await host.terminal.write(
      failures.length === 0 ? `${count}, all as expected\n` : `${count}, ${failures.length} not as expected\n`,
    );
  }
  return { exitCode: failures.length === 0 ? 0 : 1 };
}

function text({ name, passed, expected, decision }: CaseOutcome): string {
  const outcome = !isDecided(decision) ? 'could not be decided' : decision.allowed ? 'is allowed' : 'is denied';
  const line = `${passed ? 'ok  ' : 'FAIL'}  ${printable(name)}: ${outcome}${passed ? '' : `, expected was ${expected ? 'allowed' : 'denied'}`}\n`;
  if (passed) return line;
  const why = !isDecided(decision) ? [decision.reason] : (decision.explanation ?? []);
  return line + why.map((sentence) => `        ${printable(sentence)}\n`).join('');
}

async function prepare(
  host: Host,
  files: readonly string[],
  into: string | undefined,
  use: PolicyUse,
): Promise<{ exitCode: number }> {
  if (into === undefined) throw new PolicyCommandError('name the folder that compiled policies are written into with --into');
  mkdirSync(into, { recursive: true });
  let exitCode = 0;
  for (const file of files) {
    const answer = (await host.plugins.call('policy-compiler', 'opa', 'policy/record', {
      policy: read(file),
      use,
      share: false,
    })) as { ok: true; key: string; record: string } | { ok: false; reason: string };
    if (answer.ok) {
      const target = join(into, `${answer.key}.json`);
      writeWhole(target, `${answer.record}\n`, 0o644);
      await host.terminal.write(`${file}: ${target}\n`);
    } else {
      exitCode = 1;
      await host.terminal.write(`${file}: ${printable(answer.reason)}\n`, 'stderr');
    }
  }
  return { exitCode };
}
