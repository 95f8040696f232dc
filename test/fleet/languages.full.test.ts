// An agent in each language, from `plugin new` to the reply of a node: written into a watched folder of a running node,
// built where that is needed by the line that was printed, asked over the broker.

import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testBundle } from '../../core/conformance/kit.ts';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { temporaryFolder, until } from '../support/folders.ts';
import type { TestHost } from '../support/hosts.ts';
import { needs, pluginNew } from '../support/languages.ts';

const run = promisify(execFile);
const { path: bundles, remove } = temporaryFolder();
let fleet: Fleet;
let node: TestHost;
let client: TestClient;

beforeAll(async () => {
  needs('ruby');
  fleet = await Fleet.start();
  node = await fleet.node('polyglot.test', { watched: [bundles] });
  client = await fleet.client();
});
afterAll(async () => {
  await fleet.stop();
  remove();
});

const greet = (agent: string, name: string) => client.ask('polyglot.test', agent, 'hello', { name }, { timeoutMs: 20_000 });
/** The first answer of the agent itself. */
const firstAnswer = (agent: string) =>
  until(
    `the node knows ${agent}`,
    async () => {
      const reply = await greet(agent, 'Zoë');
      return reply.statusmsg.startsWith('Unknown agent') ? undefined : reply;
    },
    60_000,
  );
const greeting = (agent: string, name: string) =>
  until(
    `${agent} greets`,
    async () => {
      const reply = (await greet(agent, name)) as { statuscode: number; data: { greeting?: string } };
      return reply.statuscode === 0 ? reply.data.greeting : undefined;
    },
    60_000,
  );

async function answersOnTheNode(agent: string): Promise<void> {
  expect(await greeting(agent, 'Zoë')).toBe('Hello, Zoë!');
  expect(await greet(agent, 'nobody')).toMatchObject({ statuscode: 1, statusmsg: 'nobody is not somebody to greet', data: {} });
  expect((await testBundle(node.runtime, join(bundles, agent))).filter(({ passed }) => !passed)).toEqual([]);
}

test.each(['ts', 'python', 'ruby', 'shell'])('in %s it answers as soon as it is written', async (language) => {
  const agent = `hello_${language}`;
  await pluginNew(bundles, 'agent', agent, language);
  await firstAnswer(agent);
  await answersOnTheNode(agent);
});

test.each([
  ['go', 'go'],
  ['rust', 'cargo'],
] as const)('in %s it says what is missing until it is built, and answers from then on', async (language, compiler) => {
  needs(compiler);
  const agent = `hello_${language}`;
  const printed = await pluginNew(bundles, 'agent', agent, language);
  const problem = await firstAnswer(agent);
  expect(problem.statuscode).toBeGreaterThan(0);
  expect(problem.statusmsg).toContain(`${agent} does not exist; try: build it`);

  const [, line = ''] = /^Build it with: (.+)$/m.exec(printed) ?? [];
  await run('sh', ['-c', line], { cwd: bundles });
  await answersOnTheNode(agent);
});

test('what the compiler left in the bundle is no part of it', () => {
  expect(existsSync(join(bundles, 'hello_rust/target/release'))).toBe(true);
  const copies = readdirSync(join(node.folder, 'bundles/hello_rust'));
  expect(copies.length).toBeGreaterThan(0);
  for (const copy of copies) expect(readdirSync(join(node.folder, 'bundles/hello_rust', copy))).not.toContain('target');
});
