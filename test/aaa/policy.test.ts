// Policies in tokens and lists of actions, on a machine that has no compiler: one policy comes with the bundle.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decideByList } from '../../plugins/wire/action-list.ts';
import { parseFactString } from '../../plugins/wire/fact-string.ts';
import { tokenInput } from '../../plugins/wire/rego/input.ts';
import { runMuster } from '../support/command.ts';
import { startHost, type TestHost } from '../support/hosts.ts';
import { policyVectors } from '../support/policy-vectors.ts';

const fixtures = fileURLToPath(new URL('../../fixtures/policies/', import.meta.url));
const onCall = readFileSync(`${fixtures}on-call.rego`, 'utf8');

interface Decision {
  readonly allowed: boolean;
  readonly reason: string;
  readonly explanation?: readonly string[];
}

describe('a list of actions', () => {
  test.each([
    [['*'], true],
    [['webstack.*'], true],
    [['webstack.rollout'], true],
    [['database.*', 'webstack.rollout'], true],
    [['webstack.report'], false],
    [['Webstack.rollout'], false],
    [['*.rollout'], false],
    [['web*.rollout'], false],
    [['webstack. rollout'], false],
    [['webstack.'], false],
    [[], false],
    [undefined, false],
  ])('%j: %s', (agents, allowed) =>
    expect(decideByList(agents, 'webstack', 'rollout')).toMatchObject({ allowed, reason: expect.stringMatching(/^the list/) }),
  );

  test('an entry that can not be read ends the walk', () => {
    expect(decideByList(['webstack', '*'], 'webstack', 'rollout')).toMatchObject({ allowed: false, error: 'invalid_entry' });
    expect(decideByList(['webstack.*', 'webstack'], 'webstack', 'rollout')).toMatchObject({ allowed: true });
    expect(decideByList(['a.b.c', '*'], 'webstack', 'rollout')).toMatchObject({ allowed: false, error: 'invalid_entry' });
  });

  test.runIf(policyVectors).each(policyVectors?.action_list ?? [])('$id $title', ({ agents, agent, action, expect: wanted }) => {
    const verdict = decideByList(agents, agent, action);
    expect(verdict.allowed).toBe(wanted.allow);
    expect('error' in verdict ? verdict.error : null).toBe(wanted.error);
  });
});

test.runIf(policyVectors).each(policyVectors?.fact_expression ?? [])('fact expression $id: $text', ({ text, expect: wanted }) =>
  expect(parseFactString(text) ?? null).toEqual(wanted),
);

describe('what a policy looks at', () => {
  const request = { agent: 'webstack', action: 'rollout' };

  test('data that is no object is refused, null stays', () => {
    expect(tokenInput({ ...request, data: [] })).toMatchObject({ ok: false, error: 'bad_data' });
    expect(tokenInput(request)).toMatchObject({ ok: false, error: 'bad_data' });
    expect(tokenInput({ ...request, data: null })).toMatchObject({ ok: true, text: expect.stringContaining('"data":null') });
  });

  test('it is bounded in depth, in values and in bytes', () => {
    const deep = (levels: number): object => (levels === 0 ? {} : { a: deep(levels - 1) });
    expect(tokenInput({ ...request, data: deep(40) })).toMatchObject({ ok: true });
    for (const data of [deep(5_000), { many: Array.from({ length: 200_000 }, () => 1) }, { long: 'x'.repeat(600_000) }])
      expect(tokenInput({ ...request, data })).toMatchObject({ ok: false, error: 'too_large' });
  });
});

describe.each(['inline', 'persistent'] as const)('%s, without a compiler', (runner) => {
  let host: TestHost;
  const ask = async (name: string, request: object): Promise<Decision> => {
    const asked = { agent: 'webstack', action: 'rollout', caller: 'up=anna', data: {}, ...request };
    const { decisions } = (await host.host.call('authorizer', name, 'authorizer/authorize', { requests: [asked] })) as {
      decisions: Decision[];
    };
    return decisions[0] as Decision;
  };
  const withPolicy = (policy: string, request: object) =>
    ask('opa', { claims: { callerid: 'up=anna', opa_policy: policy }, site: 'mla1', ...request });

  beforeAll(async () => {
    host = await startHost({
      distribution: true,
      config: { 'plugin.muster.opa': 'no-such-program', 'plugin.muster.policies.shared': false },
      ...(runner === 'persistent' && { inlineAs: runner }),
    });
  });
  afterAll(() => host.stop());

  test('a policy that was prepared allows and denies', async () => {
    const fact = [{ fact: 'country', operator: '==', value: 'mt' }];
    expect(await withPolicy(onCall, { collective: 'production', filter: { fact } })).toMatchObject({ allowed: true });
    expect(await withPolicy(onCall, { collective: 'development' })).toMatchObject({ allowed: true });
    expect(await withPolicy(onCall, { action: 'status', collective: 'production' })).toMatchObject({ allowed: true });
    expect(await withPolicy(onCall, { collective: 'production', filter: { fact: [], cf_class: ['country=mt'] } })).toMatchObject({
      allowed: false,
    });
    expect(await withPolicy(onCall, { agent: 'discovery' })).toMatchObject({ allowed: true });
  });

  test('a denial says what was missing, the nearest rule first', async () => {
    const { reason, explanation } = await withPolicy(onCall, { collective: 'production' });
    expect(reason).toBe('no rule of the policy in the token allows it');
    expect(explanation?.[0]).toBe(
      'The rule at line 18 asks for a filter on the fact country=mt (-F country=mt); this request has no fact filter.',
    );
    expect(explanation?.join('\n')).toContain(
      'The rule at line 24 asks for input.collective == "development"; this request has "production" as input.collective.',
    );
  });

  test('a policy that nobody prepared is denied, and it is said what to do', async () => {
    const { allowed, reason } = await withPolicy('package io.choria.aaasvc\nallow = true', {});
    expect(allowed).toBe(false);
    expect(reason).toMatch(/there is no compiler here: install opa, name it with plugin\.muster\.opa, or prepare the policy/);
  });

  test('a token without a policy, and data that is no object, are denied', async () => {
    expect((await ask('opa', { claims: {} })).reason).toMatch(/has no policy/);
    expect((await ask('opa', {})).reason).toMatch(/has no policy/);
    expect((await withPolicy(onCall, { data: [] })).reason).toMatch(/is no object/);
  });

  test('a list decides by itself', async () => {
    expect(await ask('actionlist', { claims: { agents: ['webstack.*'] } })).toMatchObject({ allowed: true });
    expect(await ask('actionlist', { agent: 'discovery', action: 'ping' })).toMatchObject({ allowed: true });
    expect(await ask('actionlist', { claims: { agents: ['webstack.report', 'puppet.status'] } })).toMatchObject({
      allowed: false,
      explanation: [
        'The list of actions has neither webstack.rollout nor webstack.*.',
        'Of the agent webstack you may call report.',
      ],
    });
  });

  test.each(['aaasvc', 'aaasvc_policy'])('%s takes a list or a policy, and not both', async (name) => {
    const both = { agents: ['*'], opa_policy: onCall };
    expect(await ask(name, { claims: { agents: ['webstack.*'] } })).toMatchObject({ allowed: true });
    expect(await ask(name, { claims: { opa_policy: onCall }, collective: 'development' })).toMatchObject({ allowed: true });
    expect((await ask(name, { claims: both })).reason).toMatch(/has both/);
    expect((await ask(name, { claims: {} })).reason).toMatch(/has neither/);
    expect((await ask(name, {})).reason).toMatch(/has no token/);
    expect(await ask(name, { agent: 'discovery' })).toMatchObject({ allowed: true });
  });
});

describe('muster policy', () => {
  const environment = { PATH: '/nowhere' };

  test('holds a policy against its table of cases', async () => {
    const { code, out } = await runMuster(['policy', 'test', `${fixtures}on-call.rego`, `${fixtures}on-call.yaml`], environment);
    expect(out).toMatch(/ok {4}a rollout to all of production: is denied\n/);
    expect(out).toMatch(/6 cases, all as expected\n$/);
    expect(code).toBe(0);
  });

  test('explains a decision, with 1 for a denial', async () => {
    const asked = [
      'policy',
      'explain',
      `${fixtures}on-call.rego`,
      '--agent',
      'webstack',
      '--action',
      'rollout',
      '-T',
      'production',
    ];
    const denied = await runMuster([...asked, 'version=2'], environment);
    expect(denied.code).toBe(1);
    expect(denied.out).toMatch(/^Denied: webstack#rollout\n {2}The rule at line 18 asks for a filter on the fact country=mt/);
    const allowed = await runMuster([...asked, '-F', 'country=mt', '--json'], environment);
    expect(allowed.code).toBe(0);
    expect(JSON.parse(allowed.out)).toMatchObject({ allowed: true, explanation: ['The rule at line 14 allows it.'] });
  });
});
