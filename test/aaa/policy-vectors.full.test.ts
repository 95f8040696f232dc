// Every vector of authorization by policies, through the authorizers and the real compiler.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { temporaryFolder } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';
import { policyVectors } from '../support/policy-vectors.ts';
import { goProgram } from '../support/provisioning.ts';

interface Decision {
  readonly allowed: boolean;
  readonly reason: string;
  readonly explanation?: readonly string[];
}

/** What the reason says for a class of errors. */
const reasons: Readonly<Record<string, RegExp>> = {
  compile: /can not be compiled/,
  no_result: /says nothing about this request|has no rule allow in the package/,
  not_boolean: /should say true or false/,
  conflict: /contradicts itself/,
  empty_policy: /has no policy/,
  bad_data: /is no object/,
  invalid_entry: /can not be read/,
  no_policy_in_request: /has no token/,
  no_policy_in_token: /neither a list of actions nor a policy/,
  both_list_and_policy: /both a list of actions and a policy/,
};

describe.runIf(policyVectors).each(['inline', 'persistent'] as const)('%s', (runner) => {
  const { path: folder, remove } = temporaryFolder();
  let host: TestHost;
  const { opa = [], node_aaasvc_selection: selection = [], node_rego_policy: node = [] } = policyVectors ?? {};

  const ask = async (name: string, request: object): Promise<Decision> => {
    const { decisions } = (await host.host.call('authorizer', name, 'authorizer/authorize', { requests: [request] })) as {
      decisions: Decision[];
    };
    return decisions[0] as Decision;
  };
  const check = (decision: Decision, { allow, error }: { allow: boolean; error: string | null }) => {
    expect(decision.allowed, decision.reason).toBe(allow);
    if (error !== null) expect(decision.reason).toMatch(reasons[error] ?? /^$/);
    if (!allow) expect(decision.explanation?.join(' ')).not.toBe('');
  };

  beforeAll(async () => {
    mkdirSync(join(folder, 'policies/rego'), { recursive: true });
    host = await startHost({
      distribution: true,
      configFile: join(folder, 'server.conf'),
      config: { 'plugin.muster.opa': await goProgram('opa'), 'plugin.muster.policies.shared': false },
      ...(runner === 'persistent' && { inlineAs: runner }),
    });
  }, 120_000);
  afterAll(async () => {
    await host.stop();
    remove();
  });

  test.each(opa)('opa: $id $title', async ({ policy, site, request, claims, expect: wanted }) => {
    const { time, ...others } = request;
    const decision = await ask('opa', {
      ...others,
      caller: String(claims.callerid),
      time: Date.parse(time) / 1_000,
      timeText: time,
      site,
      claims: { ...claims, opa_policy: policy },
    });
    check(decision, wanted);
  });

  test.each(selection)('aaasvc: $id $title', async ({ claims, agent, action, expect: wanted }) => {
    const request = { agent, action, caller: 'up=anna', site: 'server', ...(claims && { claims }) };
    check(await ask('aaasvc', request), wanted);
    check(await ask('aaasvc_policy', request), wanted);
  });

  test.each(node)('rego_policy: $id $title', async ({ id, policy, input, expect: wanted }) => {
    // A file of its own for each, by the name of the agent.
    const agent = id.replace('-', '_');
    const source = policy.replaceAll('"webstack"', JSON.stringify(agent));
    writeFileSync(join(folder, 'policies/rego', `${agent}.rego`), source);
    const { callerid, provision_mode: provisionMode, time, ...others } = input;
    check(
      await ask('rego_policy', { ...others, agent, caller: callerid, provisionMode, time: Date.parse(String(time)) / 1_000 }),
      wanted,
    );
  });
});
