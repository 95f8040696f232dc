// Facts for plugins: what the files of a node say reaches the agents that ask for it, in any language, and nobody else.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { temporaryFolder, until, writeBundle } from '../support/folders.ts';
import type { TestHost } from '../support/hosts.ts';

const { path: bundles, remove } = temporaryFolder();
const facts = { os: { family: 'Debian', release: { major: 12 } }, disks: [{ name: 'sda' }, { name: 'sdb' }] };
let fleet: Fleet;
let node: TestHost;
let client: TestClient;

const ddl = (name: string) =>
  JSON.stringify({
    metadata: { name, description: 'd', author: 'x', license: 'x', version: '1.0.0', url: 'https://example.org', timeout: 10 },
    actions: [
      {
        action: 'fact',
        description: 'd',
        display: 'always',
        input: {
          path: { prompt: 'Path', description: 'd', type: 'string', validation: '.', maxlength: 50, optional: true },
        },
        output: { value: { description: 'v', display_as: 'Value' } },
      },
    ],
  });
const manifest = (name: string, how: string, needs: string, config = '{}') =>
  `bundle: ${name}\nversion: 1.0.0\nconfig: ${config}\nplugins:\n  - { kind: agent, name: ${name}, ${how}, resources: { ddl: ./ddl.json }, needs: ${needs} }\n`;
const inPython = `from muster_plugin import ActionError, Agent, PluginError
agent = Agent("NAME")

@agent.action
def fact(data, call):
    try:
        return {"value": agent.facts(data.get("path"), call)}
    except PluginError as error:
        raise ActionError(str(error))

agent.run()
`;
const inTypeScript = `import { defineAgent } from 'muster/sdk';
export default defineAgent({
  name: 'asks_ts',
  version: '1.0.0',
  create: (host) => ({
    actions: { fact: async ({ path }: { path?: string }, call) => ({ value: await host.facts(path, { for: call }) }) },
  }),
});
`;
const inShell = `#!/bin/sh
file=$(printf '%s' "$MUSTER_CONFIG" | sed 's/.*"plugin.yaml":\\["\\([^"]*\\)".*/\\1/')
printf '{"statuscode":0,"statusmsg":"OK","data":{"value":%s}}\\n' "$(cat "$file")"
`;

beforeAll(async () => {
  const python = 'runner: persistent, command: [python3, ./agent.py]';
  const granted = '{ plugins: [facts] }';
  const files = (name: string, file: string, text: string) => ({ 'ddl.json': ddl(name), [file]: text });
  writeBundle(bundles, 'asks_py', manifest('asks_py', python, granted), files('asks_py', 'agent.py', inPython));
  writeBundle(bundles, 'may_not', manifest('may_not', python, '{}'), files('may_not', 'agent.py', inPython));
  writeBundle(
    bundles,
    'asks_ts',
    manifest('asks_ts', 'runner: persistent, module: ./agent.ts', granted),
    files('asks_ts', 'agent.ts', inTypeScript),
  );
  writeBundle(
    bundles,
    'asks_sh',
    manifest('asks_sh', 'runner: oneshot, command: [./agent.sh]', '{}', '{ uses: [plugin.yaml] }'),
    files('asks_sh', 'agent.sh', inShell),
  );
  fleet = await Fleet.start();
  writeFileSync(join(fleet.folder, 'changing.json'), JSON.stringify(facts));
  node = await fleet.node('facts.test', {
    watched: [bundles],
    config: { 'plugin.yaml': join(fleet.folder, 'changing.json') },
  });
  client = await fleet.client();
});
afterAll(async () => {
  await fleet.stop();
  remove();
});

const ask = async (agent: string, path?: string) =>
  (await client.ask('facts.test', agent, 'fact', path === undefined ? {} : { path }, { timeoutMs: 20_000 })) as {
    statusmsg: string;
    data: { value?: unknown };
  };

test.each(['asks_py', 'asks_ts'])('%s is told values at paths, null for what is not there, or everything', async (agent) => {
  expect((await ask(agent, 'os.family')).data.value).toBe('Debian');
  expect((await ask(agent, 'disks.#.name')).data.value).toEqual(['sda', 'sdb']);
  expect((await ask(agent, 'os.nothing')).data.value).toBeNull();
  expect((await ask(agent)).data.value).toEqual(facts);
});

test('a oneshot reads the files that the configuration names', async () => {
  expect((await ask('asks_sh')).data.value).toEqual(facts);
});

test('without the grant it is refused, and told the line that is missing', async () => {
  expect((await ask('may_not', 'os.family')).statusmsg).toContain('needs: {plugins: [facts]}');
});

test('facts that change are told anew', async () => {
  writeFileSync(join(fleet.folder, 'changing.json'), JSON.stringify({ os: { family: 'RedHat' } }));
  await until('the change is seen', async () => (await ask('asks_py', 'os.family')).data.value === 'RedHat');
});

test('any plugin of the host finds them as facts/node', () => {
  expect(node.host.list('facts').map(({ name }) => name)).toEqual(['node']);
});
