// Policies on the path of a request: files on a node with protocol v1, and what is in the caller's token with protocol v2.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ClientTokenRequest } from '../../plugins/wire/tokens/client.ts';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { temporaryFolder, until } from '../support/folders.ts';
import type { TestHost } from '../support/hosts.ts';
import { goProgram } from '../support/provisioning.ts';
import { clientToken, serverToken, tokenConfig } from '../support/tokens.ts';

const { path: folder, remove } = temporaryFolder();
afterAll(remove);
const fixtures = fileURLToPath(new URL('../../fixtures/policies/', import.meta.url));
const regoOf = (rules: string) => `package io.choria.mcorpc.authpolicy\nimport rego.v1\ndefault allow := false\n${rules}\n`;

describe.each([
  ['inline', {}],
  ['persistent', { inlineAs: 'persistent' }],
] as const)('rego_policy, plugins of the node %s', (_name, runner) => {
  let fleet: Fleet;
  let node: TestHost;
  let client: TestClient;
  let place: string;
  const write = (name: string, rules: string) => writeFileSync(join(place, `${name}.rego`), regoOf(rules));
  const status = async (action: string, data: Readonly<Record<string, unknown>> = {}) =>
    (await client.ask('n1.test', 'rpcutil', action, data)).statuscode;

  beforeAll(async () => {
    fleet = await Fleet.start();
    node = await fleet.node('n1.test', {
      ...runner,
      facts: { environment: 'lab' },
      classes: ['roles::open'],
      policies: {},
      config: { rpcauthprovider: 'rego_policy', 'plugin.muster.opa': await goProgram('opa'), 'plugin.regopolicy.tracing': true },
    });
    place = join(fleet.folder, 'n1.test-0', 'policies/rego');
    mkdirSync(place, { recursive: true });
    client = await fleet.client('ada.mcollective');
  }, 240_000);
  afterAll(() => fleet?.stop());

  test('without a policy everything is denied; then facts, classes, agents and the caller decide', async () => {
    expect(await status('ping')).toBe(1);
    write(
      'default',
      `allow if {
	input.callerid == "choria=ada.mcollective"
	input.facts.environment == "lab"
	"roles::open" in input.classes
	"rpcutil" in input.agents
	input.action == "ping"
	input.collective == "mcollective"
	not input.provision_mode
	time.parse_rfc3339_ns(input.time) > time.parse_rfc3339_ns("2024-01-01T00:00:00Z")
}`,
    );
    await until('the policy counts', async () => (await status('ping')) === 0);
    expect(await status('get_fact', { fact: 'environment' })).toBe(1);
    const told = node.log.findLast(({ message }) =>
      message.startsWith('default.rego: denied choria=ada.mcollective rpcutil#get_fact'),
    );
    expect(told?.fields.explanation).toEqual([
      'The rule at line 9 asks for input.action == "ping"; this request has "get_fact" as input.action.',
    ]);
  });

  test('the policy of an agent counts over the default, and a change of it within a second', async () => {
    write('rpcutil', 'allow if input.data.fact == "environment"');
    await until('the policy counts', async () => (await status('get_fact', { fact: 'environment' })) === 0);
    expect(await status('ping')).toBe(1);
    write('rpcutil', 'allow if {');
    await until('the broken one counts', async () => (await status('get_fact', { fact: 'environment' })) === 1);
    const why = node.log.findLast(({ message }) => message.includes('can not be compiled'));
    expect(why?.message).toMatch(/rego_parse_error/);
    write('rpcutil', 'allow if input.action == "ping"');
    await until('the mended one counts', async () => (await status('ping')) === 0);
  });
});

describe('aaasvc, with protocol v2 and without a compiler', () => {
  let fleet: Fleet;

  const connecting = async (name: string, own: Readonly<Record<string, string>>) => {
    const files = await fleet.certificate(name);
    return {
      ...own,
      'plugin.security.choria.certificate': files['plugin.security.file.certificate'] ?? '',
      'plugin.security.choria.key': files['plugin.security.file.key'] ?? '',
      'plugin.security.choria.ca': files['plugin.security.file.ca'] ?? '',
    };
  };
  const client = async (callerid: string, claims: Partial<ClientTokenRequest>) => {
    const token = await clientToken(callerid, { fleet_management: true }, claims);
    return fleet.client('operator.mcollective', await connecting('operator.mcollective', tokenConfig(folder, callerid, token)));
  };

  beforeAll(async () => {
    fleet = await Fleet.start();
    await fleet.node('n1.test', {
      policies: {},
      config: {
        ...(await connecting('n1.test', tokenConfig(folder, 'n1.test', await serverToken('n1.test')))),
        rpcauthprovider: 'aaasvc',
        'plugin.muster.opa': 'no-such-program',
      },
    });
  });
  afterAll(() => fleet?.stop());

  test('a list of actions in the token decides', async () => {
    const anna = await client('up=anna', { agents: ['rpcutil.ping'] });
    expect(await anna.ask('n1.test', 'rpcutil', 'ping')).toMatchObject({ statuscode: 0 });
    expect(await anna.ask('n1.test', 'rpcutil', 'inventory')).toMatchObject({ statuscode: 1 });
  });

  test('a policy in the token decides, and one that nobody compiled denies', async () => {
    const onCall = readFileSync(join(fixtures, 'on-call.rego'), 'utf8');
    const bert = await client('up=bert', { opaPolicy: onCall });
    expect(await bert.ask('n1.test', 'rpcutil', 'ping')).toMatchObject({ statuscode: 1 });
    const log = () => [...fleet.nodes.values()].flatMap(({ log: lines }) => lines.map(({ message }) => message)).join('\n');
    expect(log()).toMatch(/denied up=bert rpcutil#ping .*no rule of the policy in the token allows it/);
    const carl = await client('up=carl', { opaPolicy: 'package io.choria.aaasvc\nallow = true\n' });
    expect(await carl.ask('n1.test', 'rpcutil', 'ping')).toMatchObject({ statuscode: 1 });
    expect(log()).toMatch(/denied up=carl rpcutil#ping .*nobody has compiled this policy/);
  });

  test('a token with both, or with neither, is denied', async () => {
    const dora = await client('up=dora', { agents: ['*'], opaPolicy: 'package io.choria.aaasvc\nallow = true\n' });
    expect(await dora.ask('n1.test', 'rpcutil', 'ping')).toMatchObject({ statuscode: 1 });
    const emil = await client('up=emil', {});
    expect(await emil.ask('n1.test', 'rpcutil', 'ping')).toMatchObject({ statuscode: 1 });
  });
});
