// Commands about DDLs: what is found where, its formats, and clients made from it.

import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Ajv } from 'ajv';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { distributionRoot } from '../../core/host/distribution.ts';
import { temporaryFolder } from '../support/folders.ts';

const main = join(distributionRoot(), 'core/cli/main.js');
const { path: folder, remove } = temporaryFolder();
const config = join(folder, 'client.conf');

const lamp = (description: string) => `metadata:
  name: lamp
  description: ${description}
  author: Ada
  license: MIT
  version: 1.0.0
  url: https://example.org
  timeout: 5
actions:
  - action: toggle
    description: Flips "a lamp"
    display: always
    input:
      room: { prompt: Room, description: Which room, type: string, validation: '^\\w+$', maxlength: 10, optional: false }
      mode: { prompt: Mode, description: How, type: list, list: [soft, hard], default: soft, optional: true }
    output:
      state: { description: State, display_as: State, type: string, default: unknown }
    aggregate:
      - { function: summary, args: [state, { format: '%s: %d' }] }
`;

function write(file: string, text: string): void {
  mkdirSync(dirname(join(folder, file)), { recursive: true });
  writeFileSync(join(folder, file), text);
}

beforeAll(() => {
  writeFileSync(
    config,
    `identity = x.test\nlibdir = ${join(folder, 'one')}\nplugin.choria.agent_provider.mcorpc.libdir = ${join(folder, 'two')}\n`,
  );
  write('one/choria/agent/deep/lamp.yaml', lamp('the first'));
  write('one/mcollective/agent/lamp.json', JSON.stringify(parse(lamp('the second'))));
  write('two/mcollective/agent/lamp.yml', lamp('the last'));
  write('one/mcollective/agent/rpcutil.json', JSON.stringify(parse(lamp('never'))));
  write('one/mcollective/agent/misnamed.yaml', lamp('another'));
  write('one/mcollective/agent/torn.json', '{"metadata":');
});
afterAll(remove);

function muster(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [main, ...args, '--config', config],
      { cwd: folder, env: { ...process.env, NO_COLOR: '1' } },
      (error, out, err) => resolve({ code: error ? Number(error.code ?? 1) : 0, out, err }),
    );
  });
}

describe('a DDL is looked up', () => {
  test('in all folders, of which the last counts, in JSON and YAML', async () => {
    const { out } = await muster('plugin', 'doc', 'lamp');
    expect(out).toMatch(/^Agent lamp: the last\n/);
  });

  test('in this version first', async () => {
    expect((await muster('plugin', 'doc', 'rpcutil')).out).not.toContain('never');
  });

  test('and has to describe what its file is called after', async () => {
    const { code, err } = await muster('plugin', 'doc', 'misnamed');
    expect(code).toBe(1);
    expect(err).toMatch(/one\/mcollective\/agent\/misnamed\.yaml does not describe misnamed but lamp; correct/);
  });

  test('and one that is torn is told of in its place', async () => {
    const { code, out } = await muster('plugin', 'doc', '--json');
    expect(code).toBe(0);
    const rows = JSON.parse(out) as { plugin: string; description: string }[];
    expect(rows.find(({ plugin }) => plugin === 'agent/torn')?.description).toMatch(/^unreadable: .*torn\.json: /);
    expect(rows.find(({ plugin }) => plugin === 'agent/lamp')?.description).toBe('the last');
  });
});

describe('plugin schema', () => {
  test('prints the document on one line of JSON', async () => {
    const { out } = await muster('plugin', 'schema', 'agent', 'lamp');
    expect(out.trim().split('\n')).toHaveLength(1);
    expect(JSON.parse(out)).toEqual(parse(lamp('the last')));
  });

  test('prints YAML', async () => {
    expect(parse((await muster('plugin', 'schema', 'agent', 'lamp', '--format', 'yaml')).out)).toEqual(parse(lamp('the last')));
  });

  test('prints JSON Schemas that accept what the DDL accepts', async () => {
    const { out } = await muster('plugin', 'schema', 'agent', 'lamp', '--format', 'jsonschema');
    const { actions } = JSON.parse(out) as { actions: { toggle: { input: object } } };
    const accepts = new Ajv({ strict: false }).compile(actions.toggle.input);
    const inputs = [
      { room: 'attic' },
      { room: 'attic', mode: 'hard' },
      {},
      { room: 'a b' },
      { room: 'x'.repeat(11) },
      { room: 'a', mode: 'x' },
      { room: 'a', z: 1 },
    ];
    expect(inputs.map((input) => accepts(input))).toEqual([true, true, false, false, false, false, false]);
  });

  test('prints Ruby, with what the text holds in quotes', async () => {
    const { out } = await muster('plugin', 'schema', 'agent', 'lamp', '--format', 'ddl');
    expect(out).toContain("action 'toggle', :description => 'Flips \"a lamp\"' do");
    expect(out.replaceAll(/ +/g, ' ')).toContain(":validation => '^\\\\w+$',");
    expect(out).toContain("aggregate summary(:state, :format => '%s: %d')");
  });

  test('prints contracts', async () => {
    expect(JSON.parse((await muster('plugin', 'schema', 'contract', 'data')).out)).toMatchObject({
      kind: 'data',
      methods: { 'data/get': {} },
    });
  });

  test.each([
    [['agent', 'sofa'], /^muster: there is no DDL for the agent sofa: /],
    [['contract', '../x'], /^muster: there is no contract of the kind \.\.\/x in this version/],
    [['machine', 'x'], /^muster: there are agent, data and contract to show, not 'machine'/],
  ])('refuses %j', async (args, message) => {
    const { code, err } = await muster('plugin', 'schema', ...args);
    expect([code, err]).toEqual([1, expect.stringMatching(message)]);
  });
});

describe('plugin generate client', () => {
  test('writes a file once, and again when forced', async () => {
    const first = await muster('plugin', 'generate', 'client', 'lamp', '--lang', 'ts');
    expect([first.code, first.err]).toEqual([0, 'lamp-client.ts is written: 1 action of lamp\n']);
    expect(readFileSync(join(folder, 'lamp-client.ts'), 'utf8')).toContain('export class LampClient extends AgentClient');
    const second = await muster('plugin', 'generate', 'client', 'lamp');
    expect([second.code, second.err]).toEqual([1, expect.stringContaining('lamp-client.ts is already there')]);
    expect((await muster('plugin', 'generate', 'client', 'lamp', '--force')).code).toBe(0);
  });

  test('tells what is wrong with a file', async () => {
    const { code, err } = await muster('plugin', 'generate', 'client', 'one/mcollective/agent/torn.json');
    expect([code, err]).toEqual([1, expect.stringMatching(/^muster: one\/mcollective\/agent\/torn\.json: /)]);
  });
});
