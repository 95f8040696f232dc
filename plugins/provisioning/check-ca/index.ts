// The command `muster provisioning check-ca`.

import { type Call, definePlugin, type Host } from '../../../core/sdk/typescript/index.ts';
import { Check } from './check.ts';
import { CheckError } from './errors.ts';
import { createProgress } from './progress.ts';
import { takeRate } from './rate.ts';
import { accept, isFit, jsonOf, type Outcome, textOf } from './report.ts';
import { noCertificate, type RuleId, ruleIds, skipped } from './rules.ts';
import { findTarget, type Target } from './target.ts';

interface Options {
  readonly domain: string;
  readonly revoke?: boolean;
  readonly accept?: readonly string[];
  readonly rateSeconds: number;
  readonly workers: number;
  readonly minRate: number;
  readonly minDays: number;
  readonly maxDays: number;
  readonly json?: boolean;
}

interface Params {
  readonly arguments: { readonly hook: string };
  readonly options: Options;
}

export default definePlugin({
  kind: 'command',
  version: '1.0.0',
  create: (host: Host) => ({
    methods: {
      'command/run': async ({ arguments: { hook }, options }: Params, call: Call) => {
        const accepted = readRules(options.accept ?? []);
        if (!/^[a-z0-9.-]+$/i.test(options.domain)) throw new CheckError(`'${options.domain}' is no domain`);
        const target = await findTarget(host, hook, call);
        const outcome = await check(host, target, { options, accepted, signal: call.signal });
        const { color } = await host.terminal.info();
        await host.terminal.write(options.json ? jsonOf(outcome) : textOf(outcome, color));
        return { exitCode: isFit(outcome) ? 0 : 1 };
      },
    },
  }),
});

interface Plan {
  readonly options: Options;
  readonly accepted: readonly RuleId[];
  readonly signal: AbortSignal;
}

async function check(host: Host, target: Target, { options, accepted, signal }: Plan): Promise<Outcome> {
  const { domain, revoke = false, minDays, maxDays, rateSeconds, workers, minRate } = options;
  const progress = await createProgress(host, options.json ?? false);
  try {
    const samples = new Check(target, { domain: domain.toLowerCase(), revoke, minDays, maxDays });
    let begun = false;
    const findings = await samples.run((done, of) => {
      if (!begun) progress.begin('samples', of);
      begun = true;
      progress.at(done, '');
    });
    const answers = findings.some(({ rule, verdict }) => rule === 'answer' && verdict === 'passed');
    const seconds = answers ? rateSeconds : 0;
    if (seconds > 0) progress.begin('rate', seconds * 1_000);
    const rate = await takeRate(
      target,
      { domain: domain.toLowerCase(), seconds, workers: Math.max(1, workers), perMinute: minRate },
      (ms, issued) => progress.at(ms, `${issued} certificates`),
      signal,
    );
    signal.throwIfAborted();
    return {
      hook: target.title,
      findings: accept([...findings, answers ? rate.finding : skipped('rate', noCertificate)], accepted),
      issued: samples.issued + rate.issued,
      perMinute: seconds > 0 ? rate.perMinute : undefined,
    };
  } finally {
    await progress.end();
  }
}

function readRules(names: readonly string[]): RuleId[] {
  return names.map((name) => {
    const rule = ruleIds.find((known) => known === name);
    if (rule === undefined) throw new CheckError(`there is no rule ${name}; rules are ${ruleIds.join(', ')}`);
    return rule;
  });
}
