// `muster provisioning check-ca` as a team that keeps an authority runs it.

import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { Check } from '../../plugins/provisioning/check-ca/check.ts';
import { textOf } from '../../plugins/provisioning/check-ca/report.ts';
import { runMuster } from '../support/command.ts';
import { crookedTarget } from '../support/crooked-ca.ts';
import { isAlive, temporaryFolder, until, writeBundle } from '../support/folders.ts';
import { openssl } from '../support/provisioning.ts';

const { path: work, remove } = temporaryFolder();
afterAll(remove);

interface Report {
  readonly hook: string;
  readonly fit: boolean;
  readonly issued: number;
  readonly per_minute: number | null;
  readonly rules: readonly {
    readonly rule: string;
    readonly verdict: string;
    readonly detail: string;
    readonly remedy?: string;
  }[];
}

const check = (...args: string[]) => runMuster(['provisioning', 'check-ca', ...args]);
const verdicts = ({ rules }: Report, verdict: string) => rules.filter((one) => one.verdict === verdict).map(({ rule }) => rule);

function program(name: string, text: string): string {
  const file = join(work, name);
  writeFileSync(file, text);
  chmodSync(file, 0o755);
  return file;
}

test('finds the authority that comes with Muster fit, revokes with it, and takes its rate', async () => {
  const { code, out, err } = await check('built-in-ca', '--json', '--revoke', '--rate-seconds', '1', '--min-rate', '60');
  expect(err).toBe('');
  const report = JSON.parse(out) as Report;
  expect(verdicts(report, 'failed')).toEqual([]);
  expect(verdicts(report, 'skipped')).toEqual([]);
  expect(report).toMatchObject({ hook: 'built-in-ca', fit: true });
  expect(report.per_minute).toBeGreaterThan(60);
  expect(report.issued).toBeGreaterThan(7);
  expect(code).toBe(0);
});

test('says on paper what each rule found, and exits with 1 for one that does not hold', async () => {
  const { code, out } = await check('built-in-ca', '--rate-seconds', '0', '--max-days', '90');
  expect(code).toBe(1);
  expect(out).toMatch(/ {2}✓ fqdn {7}name of the node is among them\n {15}muster-check-node-[0-9a-f]{8}\.example\.net\n/);
  expect(out).toMatch(/ {2}✗ validity .*\n {15}it is valid for 365 days; it should be 90 at most\n {15}→ change the time/);
  expect(out).toContain('  – revoke     revokes when asked\n               not asked for; --revoke does\n');
  expect(out).toContain('28 rules hold, 1 do not, 2 were not looked at.\nIt is not fit yet: validity.\n');
  const accepted = await check('built-in-ca', '--rate-seconds', '0', '--max-days', '90', '--accept', 'validity');
  expect(accepted.out).toContain('accepted: it is valid for 365 days');
  expect(accepted.code).toBe(0);
});

test('checks a helper of Choria as it is, which reads the JSON on stdin and writes on stdout', async () => {
  const folder = join(work, 'ca');
  const helper = join(distributionRoot(), 'provisioning-hooks/openssl-ca/openssl-ca.sh');
  const wrapper = program('helper.sh', `#!/bin/sh\nexport OPENSSL_CA="${folder}"\nexec "${helper}"\n`);
  const { code, out } = await check(wrapper, '--json', '--rate-seconds', '1', '--min-rate', '1', '--domain', 'test.example.org');
  const report = JSON.parse(out) as Report;
  expect(verdicts(report, 'failed')).toEqual([]);
  expect(report.rules.find(({ rule }) => rule === 'fqdn')?.detail).toMatch(/\.test\.example\.org$/);
  expect(report.rules.find(({ rule }) => rule === 'revoke')?.verdict).toBe('skipped');
  expect(code).toBe(0);
});

test('finds out a helper as they are written in a hurry: no extensions, serial numbers that count, every request signed', async () => {
  const [key, ca] = [join(work, 'hurry.key'), join(work, 'hurry.pem')];
  openssl(['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', key, '-out', ca, '-subj', '/CN=Hurry', '-days', '100']);
  const source = `#!/usr/bin/env node
const { spawnSync } = require('node:child_process');
const { identity, csr } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
const args = ['x509', '-req', '-CA', '${ca}', '-CAkey', '${key}', '-set_serial', String(Date.now() % 60000), '-days', '3650'];
const { status, stdout, stderr } = spawnSync('openssl', args, { input: csr.csr, encoding: 'utf8' });
const ca = require('node:fs').readFileSync('${ca}', 'utf8');
console.log(JSON.stringify(status === 0 ? { Certificate: stdout, CA: ca, configuration: { identity } } : { defer: true, msg: stderr }));
`;
  const { code, out } = await check(program('hurry.cjs', source), '--json', '--rate-seconds', '0');
  const report = JSON.parse(out) as Report;
  const wanted = ['san', 'fqdn', 'extra', 'purpose', 'chain', 'validity', 'serial', 'denied', 'mismatch', 'weak', 'settings'];
  expect(verdicts(report, 'failed').sort()).toEqual(wanted.sort());
  for (const { verdict, remedy } of report.rules) expect(remedy !== undefined).toBe(verdict === 'failed');
  expect(code).toBe(1);
});

test('loads a bundle from its folder, with its own configuration', async () => {
  const manifest = `bundle: corporate-ca
version: 1.0.0
config: { keys: { plugin.corporate.reason: { type: string, default: none, description: Why not } } }
plugins:
  - { kind: provisioning-hook, name: corporate, runner: oneshot, command: [node, ./hook.mjs] }
`;
  const source = `const { 'plugin.corporate.reason': msg } = JSON.parse(process.env.MUSTER_CONFIG);
process.stdout.write(JSON.stringify({ defer: true, msg }));`;
  const bundle = writeBundle(work, 'corporate', manifest, { 'hook.mjs': source });
  const config = join(work, 'corporate.conf');
  writeFileSync(config, 'plugin.corporate.reason = the PKI team is on holiday\n');
  const { code, out } = await check(bundle, '--config', config);
  expect(out).toContain('corporate, held against what nodes need:');
  expect(out).toContain('it put the node off: the PKI team is on holiday');
  expect(code).toBe(1);
});

describe('a program that gives no answer is told so, by what it did:', () => {
  test.each([
    ['prints nothing', 'exit 0', 'it printed nothing on stdout'],
    ['prints text', 'echo signed', 'it printed something that is not one JSON object: signed'],
    ['prints half a document', 'printf \'{"certificate":"-----BEG\'', 'it printed something that is not one JSON object'],
    ['prints 100 MB', 'head -c 100000000 /dev/zero | tr "\\0" x', 'it printed more than 524288 bytes'],
    ['exits with 1', 'echo "no such profile" >&2; exit 1', 'it exited with 1: no such profile'],
    ['exits with 1 and says nothing', 'exit 1', 'it exited with 1: nothing was said on stderr'],
    ['is killed', 'kill -9 $$', 'it was ended by SIGKILL'],
    ['reads nothing', 'exec <&-; echo "{}"', 'there is no `certificate` in its answer'],
  ])('%s', async (what, text, message) => {
    const { code, out } = await check(program(`${what.replaceAll(' ', '-')}.sh`, `#!/bin/sh\n${text}\n`), '--json');
    expect((JSON.parse(out) as Report).rules[0]).toMatchObject({
      rule: 'answer',
      verdict: 'failed',
      detail: expect.stringContaining(message),
    });
    expect(code).toBe(1);
  });

  test('hangs, and so do its children', async () => {
    const mark = join(work, 'hangs.pid');
    const { code, out } = await check(program('hangs.sh', `#!/bin/sh\nsleep 600 &\necho $! > ${mark}\nwait\n`), '--json');
    const report = JSON.parse(out) as Report;
    expect(verdicts(report, 'failed')).toEqual(['answer', 'time']);
    expect(report.rules[0]?.detail).toBe('it did not end within 10 s and was killed');
    const child = Number(readFileSync(mark, 'utf8'));
    await until('its child is gone', () => !isAlive(child));
    expect(code).toBe(1);
  });
});

test('what can not be checked at all is an error with a reason', async () => {
  expect((await check('no-such-hook')).err).toMatch(
    /there is no hook, bundle or program no-such-hook; hooks are .*built-in-ca.*openssl-ca/,
  );
  expect((await check('./no/such/file')).err).toContain('there is no ./no/such/file; name a hook');
  expect((await check('built-in-ca', '--accept', 'sans')).err).toContain('there is no rule sans; rules are answer, time, pem');
});

test('shows in its help what it takes, with examples', async () => {
  const { code, out } = await check('--help');
  expect(code).toBe(0);
  for (const part of ['--revoke', '--accept <rule>', '--min-rate <n>', '--json', '$ muster provisioning check-ca built-in-ca'])
    expect(out).toContain(part);
});

test('colours the signs on a terminal, and keeps each finding on one line', async () => {
  const crooked = crookedTarget({
    before: () => {
      throw new Error(`broken\nin two lines ${'x'.repeat(500)}`);
    },
  });
  const findings = await new Check(crooked, { domain: 'example.net', revoke: false, minDays: 7, maxDays: 90 }).run(
    () => undefined,
  );
  const text = textOf({ hook: 'crooked', findings, issued: 0, perMinute: undefined }, true);
  expect(text).toContain('\x1b[31m✗\x1b[0m answer');
  expect(text).toMatch(/\n {15}broken in two lines x+…\n/);
});
