// `muster policy`: tables of cases, explanations, prepared policies, and what it says of input that is wrong.

import { mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runMuster } from '../support/command.ts';
import { temporaryFolder } from '../support/folders.ts';
import { goProgram } from '../support/provisioning.ts';
import { clientToken } from '../support/tokens.ts';

const fixtures = fileURLToPath(new URL('../../fixtures/policies/', import.meta.url));
const { path: folder, remove } = temporaryFolder();
afterAll(remove);
let config: string;

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

const policy = (...args: readonly string[]) => runMuster(['policy', ...args, '--config', config]);
const asking = ['--agent', 'webstack', '--action', 'rollout'] as const;

beforeAll(async () => {
  config = file('client.conf', `plugin.muster.opa = ${await goProgram('opa')}\n`);
}, 240_000);

describe('policy test', () => {
  test.each([
    ['on-call', []],
    ['edge-team', []],
    ['node-default', ['--node']],
  ])('the sample %s does what its table says', async (name, flags) => {
    const { code, out, err } = await policy('test', `${fixtures}${name}.rego`, `${fixtures}${name}.yaml`, ...flags);
    expect(out).toMatch(/^(ok {4}.*\n)+\d cases, all as expected\n$/);
    expect(err).toBe('');
    expect(code).toBe(0);
  });

  test('a case that comes out otherwise is told with what was missing, and 1', async () => {
    const cases = file(
      'wrong.yaml',
      `cases:
  - { name: to all of production, input: { agent: webstack, action: rollout, collective: production }, allow: true }
  - { name: status, input: { agent: webstack, action: status }, allow: false }
`,
    );
    const { code, out } = await policy('test', `${fixtures}on-call.rego`, cases);
    expect(code).toBe(1);
    expect(out).toContain(
      'FAIL  to all of production: is denied, expected was allowed\n        The rule at line 18 asks for a filter',
    );
    expect(out).toContain('FAIL  status: is allowed, expected was denied\n        The rule at line 8 allows it.');
    expect(out).toContain('2 cases, 2 not as expected');
    const json = await policy('test', `${fixtures}on-call.rego`, cases, '--json');
    expect(json.code).toBe(1);
    expect(JSON.parse(json.out)).toMatchObject({
      passed: false,
      cases: [
        { name: 'to all of production', passed: false, expected: true, allowed: false },
        { name: 'status', passed: false },
      ],
    });
  });

  test('a policy that can not be decided fails even where a denial was expected', async () => {
    const broken = file('broken.rego', 'package io.choria.aaasvc\nallow if {\n');
    const cases = file('deny.yaml', 'cases: [{ name: denied, input: { agent: a, action: b }, allow: false }]\n');
    const { code, out } = await policy('test', broken, cases);
    expect(code).toBe(1);
    expect(out).toMatch(/FAIL {2}denied: could not be decided, expected was denied\n.*can not be compiled: line \d/);
  });

  test.each([
    ['cases: []', /empty\.yaml.*cases must NOT have fewer than 1 items/],
    ['cases: [{ name: x, input: { agent: a }, allow: true }]', /case 1 \(x\): input must have required property 'action'/],
    ['cases: [{ name: x, input: { agent: a, action: b }, allow: maybe }]', /case 1 \(x\): allow must be boolean/],
    [
      'cases: [{ name: x, input: { agent: a, action: b, colective: c }, allow: true }]',
      /case 1 \(x\): input must NOT .*: colective/,
    ],
    [
      'cases: [{ name: x, input: { agent: a, action: b }, filter: { facts: [country] }, allow: true }]',
      /case 'x': 'country' is no fact filter/,
    ],
    ['cases: [', /the table of cases .*empty\.yaml can not be read in line \d+: /],
    ['', /must be object/],
  ])('a table that is wrong is told of by case: %s', async (text, message) => {
    const { code, err } = await policy('test', `${fixtures}on-call.rego`, file('empty.yaml', text));
    expect(code).toBe(1);
    expect(err).toMatch(message);
  });

  test('files that are not there are named', async () => {
    expect((await policy('test', '/no/such.rego', '/no/such.yaml')).err).toMatch(/\/no\/such\.rego can not be read: ENOENT/);
    expect((await policy('test', `${fixtures}on-call.rego`, '/no/such.yaml')).err).toMatch(
      /\/no\/such\.yaml can not be read: ENOENT/,
    );
  });
});

describe('policy explain', () => {
  test('inputs have types, and a condition that is a rule is told by what it needs', async () => {
    const claims = file('claims.json', JSON.stringify({ user_properties: { team: 'edge' } }));
    const common = ['explain', `${fixtures}edge-team.rego`, ...asking, '--claims', claims, '--time', '2024-05-06T09:30:00Z'];
    expect((await policy(...common, 'count=3')).out).toMatch(/^Allowed: webstack#rollout\n {2}The rule at line 8 allows it\.\n$/);
    expect((await policy(...common, 'count=30')).out).toContain('this request has 30 as input.data.count');
    // Text is larger than any number.
    expect((await policy(...common, 'count="3"')).out).toContain('this request has "3" as input.data.count');
    expect((await policy(...common, 'count=3', 'force=true')).out).toContain(
      'asks for not input.data.force; this request has true',
    );
  });

  test('all that the nearest rule misses is told at once, as far as it makes sense by itself', async () => {
    const source = file(
      'many.rego',
      `package io.choria.aaasvc
allow if {
	input.agent == "webstack"
	input.collective == "lab"
	input.data.tier == "edge"
	half := input.data.count / 2
	half > 3
	requires_class_filter("roles::edge")
}
`,
    );
    const { out } = await policy('explain', source, ...asking, 'tier=edge', 'count=2', '-T', 'production', '-C', 'roles::core');
    expect(out.split('\n').slice(1, -1)).toEqual([
      '  The rule at line 4 asks for input.collective == "lab"; this request has "production" as input.collective.',
      '  It also asks for a filter on the class roles::edge (-C roles::edge); this request has roles::core.',
    ]);
  });

  test('a token is asked for its list or its policy', async () => {
    const list = file('list.jwt', await clientToken('up=anna', {}, { agents: ['webstack.status'] }));
    const denied = await policy('explain', '--token', list, ...asking, 'version=2');
    expect(denied.code).toBe(1);
    expect(denied.out).toContain('Of the agent webstack you may call status.');
    const own = file(
      'policy.jwt',
      await clientToken('up=anna', {}, { opaPolicy: 'package io.choria.aaasvc\nallow if input.claims.callerid == "up=anna"\n' }),
    );
    expect((await policy('explain', '--token', own, ...asking)).code).toBe(0);
    const none = file('none.jwt', await clientToken('up=anna', {}));
    expect((await policy('explain', '--token', none, ...asking)).err).toMatch(
      /none\.jwt has neither a list of actions nor a policy/,
    );
    expect((await policy('explain', '--agents', 'webstack.*', ...asking)).code).toBe(0);
  });

  test.each([
    [['explain', `${fixtures}on-call.rego`], /name what is asked with --agent and --action/],
    [['explain', ...asking], /name a policy, or --token, or --agents/],
    [['explain', `${fixtures}on-call.rego`, ...asking, 'version'], /'version' is no input; inputs are written as key=value/],
    [['explain', `${fixtures}on-call.rego`, ...asking, '--claims', `${fixtures}on-call.rego`], /must hold a JSON object/],
    [['explain', `${fixtures}on-call.rego`, ...asking, '-F', 'country'], /'country' is no fact filter/],
    [['prepare', `${fixtures}on-call.rego`], /name the folder that compiled policies are written into with --into/],
  ])('%j is told what is wrong', async (args, message) => {
    const { code, err } = await policy(...args);
    expect(code).toBe(1);
    expect(err).toMatch(message);
  });

  test('secrets of a request are not repeated', async () => {
    const source = file(
      'secret.rego',
      'package io.choria.aaasvc\nallow if { input.data.password == "right"; input.agent == "x" }\n',
    );
    const { out } = await policy('explain', source, ...asking, 'password=canary-4711');
    expect(out).toContain('this request has another input.data.password');
    expect(out).not.toContain('canary-4711');
  });
});

test('policy prepare writes what a machine without a compiler can use', async () => {
  const into = mkdtempSync(join(folder, 'prepared-'));
  expect((await policy('prepare', `${fixtures}edge-team.rego`, `${fixtures}on-call.rego`, '--into', into)).code).toBe(0);
  expect(readdirSync(into)).toHaveLength(2);
  const bare = file('bare.conf', `plugin.muster.opa = no-such-program\nplugin.muster.policies.prepared = ${into}\n`);
  const { code, out } = await runMuster([
    'policy',
    'test',
    `${fixtures}edge-team.rego`,
    `${fixtures}edge-team.yaml`,
    '--config',
    bare,
  ]);
  expect(out).toContain('4 cases, all as expected');
  expect(code).toBe(0);
  const broken = file('nonsense.rego', 'nonsense');
  const failed = await policy('prepare', broken, '--into', into);
  expect(failed.code).toBe(1);
  expect(failed.err).toMatch(/nonsense\.rego: .*rego_parse_error/);
});
