// The report: for a team that keeps an authority, or for a program.

import { type Finding, noCertificate, type RuleId, ruleIds, rules, type Verdict } from './rules.ts';

export interface Outcome {
  readonly hook: string;
  readonly findings: readonly Finding[];
  /** How many certificates were given out, all for names that begin with muster-check. */
  readonly issued: number;
  readonly perMinute: number | undefined;
}

const signs: Readonly<Record<Verdict, string>> = { passed: '✓', failed: '✗', skipped: '–' };
const colors: Readonly<Record<Verdict, string>> = { passed: '\x1b[32m', failed: '\x1b[31m', skipped: '\x1b[2m' };
const reset = '\x1b[0m';
const longestDetail = 240;

/** Those who were accepted count as not looked at. */
export function accept(findings: readonly Finding[], accepted: readonly RuleId[]): Finding[] {
  return findings.map((finding) =>
    finding.verdict === 'failed' && accepted.includes(finding.rule)
      ? { ...finding, verdict: 'skipped', detail: `accepted: ${finding.detail}` }
      : finding,
  );
}

export function isFit({ findings }: Outcome): boolean {
  return findings.every(({ verdict }) => verdict !== 'failed');
}

export function textOf(outcome: Outcome, color: boolean): string {
  const width = Math.max(...ruleIds.map((rule) => rule.length));
  const indent = ' '.repeat(width + 6);
  const lines = outcome.findings.filter(isLookedAt).flatMap(({ rule, verdict, detail }) => {
    const sign = color ? `${colors[verdict]}${signs[verdict]}${reset}` : signs[verdict];
    const line = `  ${sign} ${rule.padEnd(width)}  ${rules[rule].title}`;
    const said = `${indent}${oneLine(detail)}`;
    return verdict === 'failed' ? [line, said, `${indent}→ ${rules[rule].remedy}`] : [line, said];
  });
  const unseen = outcome.findings.filter((finding) => !isLookedAt(finding)).map(({ rule }) => rule);
  if (unseen.length > 0) lines.push(`  ${signs.skipped} ${noCertificate}: ${unseen.join(', ')}`);
  const count = (verdict: Verdict) => outcome.findings.filter((finding) => finding.verdict === verdict).length;
  const wrong = outcome.findings.filter(({ verdict }) => verdict === 'failed').map(({ rule }) => rule);
  return [
    `${outcome.hook}, held against what nodes need:`,
    '',
    ...lines,
    '',
    `${count('passed')} rules hold, ${count('failed')} do not, ${count('skipped')} were not looked at.`,
    isFit(outcome) ? 'It is fit for nodes that join by themselves.' : `It is not fit yet: ${wrong.join(', ')}.`,
    `It gave out ${outcome.issued} certificates, for names that begin with muster-check.`,
    '',
  ].join('\n');
}

export function jsonOf(outcome: Outcome): string {
  const findings = outcome.findings.map((finding) => ({
    ...finding,
    title: rules[finding.rule].title,
    ...(finding.verdict === 'failed' && { remedy: rules[finding.rule].remedy }),
  }));
  const { hook, issued, perMinute } = outcome;
  return `${JSON.stringify({ hook, fit: isFit(outcome), issued, per_minute: perMinute ?? null, rules: findings }, null, 2)}\n`;
}

/** Without a certificate there is nothing to be said of most rules, and one line is enough. */
function isLookedAt({ detail }: Finding): boolean {
  return detail !== noCertificate;
}

function oneLine(text: string): string {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > longestDetail ? `${line.slice(0, longestDetail - 1)}…` : line;
}
