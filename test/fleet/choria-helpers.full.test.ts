// An agent written with the helper that others publish (py-mco-agent), unchanged on a real node.

import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { temporaryFolder, until } from '../support/folders.ts';
import type { TestHost } from '../support/hosts.ts';

const { path: folder, remove } = temporaryFolder();
const agents = join(folder, 'lib/mcollective/agent');
let fleet: Fleet;
let node: TestHost;
let client: TestClient;

const program = (python: string, helpers: string) => `#!${python}
import os, sys
sys.path.insert(0, ${JSON.stringify(helpers)})
from choria_external.dispatcher import dispatch
from mco_agent import Agent, action, register_actions

@register_actions
class Parrot(Agent):
    def should_activate(self):
        return os.path.exists(${JSON.stringify(join(folder, 'awake'))})

    @action
    def echo(self):
        self.logger.warning("a warning of the parrot")
        self.reply.data["message"] = self.config.get("prefix", "none: ") + self.request.data["message"]

    @action
    def fall(self):
        raise ValueError("off the perch")

if __name__ == "__main__":
    dispatch(Parrot)
`;
const ddl = {
  metadata: {
    name: 'parrot',
    description: 'Says it again',
    author: 'x',
    license: 'x',
    version: '1.0.0',
    url: 'x',
    timeout: 10,
    provider: 'external',
  },
  actions: ['echo', 'fall'].map((action) => ({
    action,
    description: action,
    input: { message: { prompt: 'm', description: 'm', type: 'string', optional: true, validation: '.', maxlength: 100 } },
    output: { message: { description: 'm', display_as: 'M' }, mood: { description: 'm', display_as: 'M', default: 'calm' } },
  })),
};

beforeAll(async () => {
  const helpers = join(folder, 'helpers');
  const python = spawnSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' }).stdout.trim();
  const pip = spawnSync(
    python,
    ['-m', 'pip', 'install', '--quiet', '--target', helpers, 'py-mco-agent==0.4.0', 'py-choria-external==0.2.0'],
    {
      encoding: 'utf8',
    },
  );
  expect(pip.status, `this test needs python3 with pip and the package registry: ${pip.stderr}`).toBe(0);
  mkdirSync(agents, { recursive: true });
  writeFileSync(join(agents, 'parrot'), program(python, helpers));
  chmodSync(join(agents, 'parrot'), 0o755);
  writeFileSync(join(agents, 'parrot.json'), JSON.stringify(ddl));
  utimesSync(join(agents, 'parrot.json'), 1, 1);
  fleet = await Fleet.start();
  node = await fleet.node('parrot.test', { config: { libdir: join(folder, 'lib') } });
  const plugins = join(node.host.options.config.file ?? '', '../plugin.d');
  mkdirSync(plugins, { recursive: true });
  // Without an ending, as it is handed over.
  writeFileSync(join(plugins, 'parrot'), 'prefix = polly:\n');
  client = await fleet.client();
}, 120_000);
afterAll(async () => {
  await fleet.stop();
  remove();
});

test('it declines, accepts later, reads its configuration, answers, fails and logs', async () => {
  const ask = (action: string) => client.ask('parrot.test', 'parrot', action, { message: 'hi; `id`' }, { timeoutMs: 10_000 });
  await until('it has declined', () => node.log.some(({ message }) => message.startsWith('the external agent parrot declined')));
  writeFileSync(join(folder, 'awake'), '');
  await until('it is active', async () => (await ask('echo')).statuscode !== 2, 30_000);
  const { statuscode, data } = await ask('echo');
  expect([statuscode, data]).toEqual([0, { message: expect.stringMatching(/^polly: ?hi; `id`$/), mood: 'calm' }]);
  expect(node.log.some(({ level, message }) => level === 'error' && message.includes('a warning of the parrot'))).toBe(true);
  expect(await ask('fall')).toMatchObject({ statuscode: 1, statusmsg: expect.stringContaining('RPC Aborted') });
});
