// `plugin test`: the conformance kit, with a table or JSON, and the exit code.

import { type Outcome, testBundle as runKit } from '../conformance/kit.ts';
import { Runtime } from '../host/runtime.ts';

export async function testBundle(
  bundle: string,
  { plugin, check, json = false }: { plugin?: string; check?: string; json?: boolean },
): Promise<void> {
  const runtime = new Runtime();
  try {
    let current = '';
    const print = (outcome: Outcome) => {
      if (outcome.plugin !== current)
        process.stdout.write(`${current === '' ? '' : '\n'}${outcome.plugin} (${outcome.runner})\n`);
      current = outcome.plugin;
      process.stdout.write(line(outcome));
    };
    const outcomes = await runKit(runtime, bundle, {
      ...(plugin !== undefined && { plugin }),
      ...(check !== undefined && { check }),
      ...(!json && { onOutcome: print }),
    });
    const failed = outcomes.filter(({ passed }) => !passed);
    if (json) process.stdout.write(`${JSON.stringify({ passed: failed.length === 0, checks: outcomes }, null, 2)}\n`);
    else
      process.stdout.write(
        `\n${failed.length === 0 ? `All ${outcomes.length} checks passed.` : `${failed.length} of ${outcomes.length} checks failed.`}\n`,
      );
    if (failed.length > 0) process.exitCode = 1;
  } finally {
    runtime.close();
  }
}

function line({ passed, check, what, problem, ms }: Outcome): string {
  return `  ${passed ? 'ok  ' : 'FAIL'} ${check.padEnd(22)} ${String(ms).padStart(5)} ms  ${passed ? what : (problem ?? '')}\n`;
}
