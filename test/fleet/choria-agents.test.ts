// Agents that were written for Choria, unchanged: layouts, files, environment, activation, reload, failures.

import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { isAlive, temporaryFolder, until } from '../support/folders.ts';
import type { TestHost } from '../support/hosts.ts';

const { path: libdir, remove } = temporaryFolder();
const agents = join(libdir, 'mcollective/agent');
let fleet: Fleet;
let client: TestClient;
let node: TestHost;

const ddlOf = (name: string, version = '1.0.0', timeout = 20) => ({
  metadata: {
    name,
    description: `The agent ${name}`,
    author: 'x',
    license: 'x',
    version,
    url: 'https://example.org',
    timeout,
    provider: 'external',
  },
  actions: [
    {
      action: 'go',
      description: 'Goes',
      display: 'always',
      input: {
        where: { prompt: 'Where', description: 'Where to', type: 'string', validation: '.', maxlength: 200, optional: true },
      },
      output: { went: { description: 'Where', display_as: 'Went', type: 'string', default: 'nowhere' } },
    },
  ],
});

/** Writes an agent; its files look as if they had been at rest for a while. */
function agent(name: string, script: string, { file = name, ddl = `${name}.json`, version = '1.0.0', timeout = 20 } = {}): void {
  const document = ddlOf(name, version, timeout);
  for (const [path, text] of [
    [join(agents, file), script],
    [join(agents, ddl), ddl.endsWith('.json') ? JSON.stringify(document) : stringify(document)],
  ] as const) {
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
    if (text.startsWith('#!')) chmodSync(path, 0o755);
    const rested = Date.now() / 1000 - 10;
    utimesSync(path, rested, rested + Math.random());
  }
}

const shell = (body: string) => `#!/bin/sh
case "$CHORIA_EXTERNAL_PROTOCOL" in
*activation_request) echo '{"activate":true}' > "$CHORIA_EXTERNAL_REPLY"; exit ;;
esac
${body}
`;
const answer = (json: string) => `printf '%s' '${json}' > "$CHORIA_EXTERNAL_REPLY"`;

const python = `#!/usr/bin/env python3
import json, os, sys
env = os.environ
request = json.load(open(env["CHORIA_EXTERNAL_REQUEST"]))
if request["protocol"] == "io.choria.mcorpc.external.v1.activation_request":
    reply = {"activate": True}
else:
    print("a line for the log")
    print("an error for the log", file=sys.stderr)
    facts = json.load(open(env["CHORIA_EXTERNAL_FACTS"]))
    reply = {"data": {"went": facts["site"], "request": request, "argv": sys.argv[1:], "cwd": os.getcwd(), "config": env["CHORIA_EXTERNAL_CONFIG"]}}
json.dump(reply, open(env["CHORIA_EXTERNAL_REPLY"], "w"))
`;

/** Those that accept to be active. */
const willing = [
  ...['lamp', 'inside', 'yaml', 'multi', 'exits', 'garbage', 'nan', 'invalid', 'listed'],
  ...['envy', 'bare', 'status', 'slow', 'changing'],
];

beforeAll(async () => {
  agent('lamp', python);
  agent('inside', shell(answer('{"data":{"went":"inside"}}')), { file: 'inside/inside', ddl: 'inside/inside.json' });
  const platform = `${process.platform}_${{ x64: 'amd64', ia32: '386' }[process.arch as string] ?? process.arch}`;
  agent('yaml', shell(answer('{"data":{"went":"yaml"}}')), { ddl: 'yaml.yaml' });
  agent('multi', shell(answer('{"data":{"went":"multi"}}')), { file: `multi/multi-${platform}` });
  agent('shy', '#!/bin/sh\necho \'{"activate":false}\' > "$CHORIA_EXTERNAL_REPLY"\n');
  agent('hanging', '#!/bin/sh\nsleep 60\n');
  agent('exits', shell('exit 3'));
  agent('garbage', shell(`printf '\\357\\273\\277{"data"' > "$CHORIA_EXTERNAL_REPLY"`));
  agent('nan', shell(answer('{"data":{"went":NaN}}')));
  agent('invalid', shell(`printf '{"data":{"went":"\\377"}}' > "$CHORIA_EXTERNAL_REPLY"`));
  agent('listed', shell(answer('{"data":[1]}')));
  // What the program was started with, before the shell adds its own.
  agent(
    'envy',
    shell(
      `printf '{"data":{"went":"%s"}}' "$(tr '\\0' '\\n' < /proc/$$/environ | cut -d= -f1 | sort | tr '\\n' ' ')" > "$CHORIA_EXTERNAL_REPLY"`,
    ),
  );
  agent('bare', shell(answer('{"data":null}')));
  agent('status', shell(answer('{"statuscode":4,"statusmsg":"not so","data":{}}')));
  agent('slow', shell('sleep 60 & echo $! > "$0.pid"; wait'), { timeout: 2 });
  agent('changing', shell(answer('{"data":{"went":"one"}}')));
  fleet = await Fleet.start();
  node = await fleet.node('old.test', {
    facts: { site: 'attic' },
    config: { 'plugin.choria.agent_provider.mcorpc.libdir': libdir },
  });
  client = await fleet.client();
  // One that a busy machine starts too slowly is asked again.
  await until('all agents are announced', () => {
    const told = node.log.findLast(({ message }) => message.startsWith('external agents: '))?.message.split(/[ ,:]+/) ?? [];
    return willing.every((name) => told.includes(name));
  });
});
afterAll(async () => {
  await fleet.stop();
  remove();
});

const go = (name: string, data: Record<string, unknown> = {}) => client.ask('old.test', name, 'go', data);

test('an agent gets its three files, the exact arguments and environment, and the facts', async () => {
  const { statuscode, statusmsg, data } = await go('lamp', { where: 'attic; rm -rf "$HOME" `id`' });
  expect([statuscode, statusmsg]).toEqual([0, 'OK']);
  const { request, argv, cwd, config, went } = data as Record<string, unknown> & {
    request: Record<string, unknown>;
    argv: string[];
  };
  expect(went).toBe('attic');
  expect(request).toEqual({
    $schema: 'https://choria.io/schemas/mcorpc/external/v1/rpc_request.json',
    protocol: 'io.choria.mcorpc.external.v1.rpc_request',
    agent: 'lamp',
    action: 'go',
    requestid: expect.stringMatching(/^[0-9a-f]{32}$/),
    senderid: 'operator.mcollective',
    callerid: 'choria=operator.mcollective',
    collective: 'mcollective',
    ttl: 60,
    msgtime: expect.any(Number),
    data: { where: 'attic; rm -rf "$HOME" `id`' },
  });
  expect(argv).toEqual([
    expect.stringContaining('request'),
    expect.stringContaining('reply'),
    'io.choria.mcorpc.external.v1.rpc_request',
  ]);
  expect(cwd).toBe(tmpdir());
  expect(config).toMatch(/\/plugin\.d\/lamp$/);
  expect(existsSync(argv[0] ?? '')).toBe(false);
  const logged = (level: string, text: string) => node.log.some((line) => line.level === level && line.message === text);
  expect([logged('info', 'a line for the log'), logged('error', 'an error for the log')]).toEqual([true, true]);
});

test('its environment is six variables and nothing else', async () => {
  const { data } = await go('envy');
  expect((data as { went: string }).went.trim().split(' ')).toEqual([
    'CHORIA_EXTERNAL_CONFIG',
    'CHORIA_EXTERNAL_FACTS',
    'CHORIA_EXTERNAL_PROTOCOL',
    'CHORIA_EXTERNAL_REPLY',
    'CHORIA_EXTERNAL_REQUEST',
    'PATH',
  ]);
});

test.each(['inside', 'multi', 'yaml'])('the layout of %s is found', async (name) => {
  expect(await go(name)).toMatchObject({ statuscode: 0, data: { went: name } });
});

test('they are agents like any other: listed, discovered, with defaults of their DDL', async () => {
  expect(await client.find({ agents: ['lamp'] })).toEqual(['old.test']);
  expect(await go('bare')).toMatchObject({ statuscode: 0, data: { went: 'nowhere' } });
  expect(await go('status')).toMatchObject({ statuscode: 4, statusmsg: 'not so' });
});

describe('what fails is answered with a reason', () => {
  test.each([
    ['exits', 'Could not call external agent exits#go: executing exits failed: exit status 3'],
    ['garbage', 'Could not call external agent garbage#go: failed to decode reply json'],
    ['nan', 'Could not call external agent nan#go: failed to decode reply json'],
    ['invalid', 'Could not call external agent invalid#go: failed to decode reply json'],
    ['listed', 'Could not set reply defaults: reply data is in the wrong format'],
  ])('%s', async (name, reason) => {
    expect(await go(name)).toMatchObject({ statuscode: 1, statusmsg: expect.stringContaining(reason) });
  });

  test('input that its DDL does not allow', async () => {
    expect(await go('bare', { where: 'x'.repeat(201) })).toMatchObject({
      statuscode: 1,
      statusmsg: "Validation failed: validation failed for input 'where': is longer than 200 characters",
    });
  });

  test('one that takes too long is ended with all that it started', async () => {
    expect(await client.ask('old.test', 'slow', 'go', {}, { timeoutMs: 30_000 })).toMatchObject({
      statuscode: 1,
      statusmsg: 'slow#go did not answer within 2 s',
    });
    const pid = Number(readFileSync(join(agents, 'slow.pid'), 'utf8'));
    await until('its child has ended', () => !isAlive(pid));
  });

  test('one whose program has gone', async () => {
    agent('leaving', shell(answer('{"data":{}}')));
    await until('it is there', async () => (await go('leaving').catch(() => undefined))?.statuscode === 0);
    rmSync(join(agents, 'leaving'));
    expect(await go('leaving')).toMatchObject({
      statuscode: 1,
      statusmsg: 'Cannot call external agent leaving#go: agent executable was not found',
    });
  });
});

describe('activation', () => {
  test('that declines or hangs leaves the agent out, and the others in', async () => {
    expect((await go('shy')).statuscode).toBe(2);
    expect((await go('hanging')).statuscode).toBe(2);
    expect(
      node.log.some(({ message }) => message.startsWith('the external agent shy declined to be activated; it is asked again')),
    ).toBe(true);
    expect(node.log.some(({ message }) => message.startsWith('the external agent hanging is not activated'))).toBe(true);
  });

  test('of an agent without a program is explained', async () => {
    agent('empty', shell(''));
    rmSync(join(agents, 'empty'));
    await until('it is explained', () =>
      node.log.some(({ message }) => message.includes('the external agent empty is not activated: there is no')),
    );
  });
});

describe('changes on disk', () => {
  test('a new version takes over, a refused one does not', async () => {
    expect((await go('changing')).data).toMatchObject({ went: 'one' });
    agent('changing', shell(answer('{"data":{"went":"two"}}')), { version: '2.0.0' });
    await until('the new one answers', async () => ((await go('changing')).data as { went?: string }).went === 'two');
    await until('its version is told', async () =>
      JSON.stringify((await client.ask('old.test', 'rpcutil', 'agent_inventory')).data).includes('"2.0.0"'),
    );
  });

  test('a DDL that goes takes its agent with it', async () => {
    rmSync(join(agents, 'inside/inside.json'));
    await until('it is unknown', async () => (await go('inside')).statuscode === 2);
  });

  test('a broken DDL is told with its file, and changes nothing else', async () => {
    writeFileSync(join(agents, 'odd.json'), '{"metadata":');
    await until('it is told', () => node.log.some(({ message }) => message.startsWith(join(agents, 'odd.json'))));
    expect((await go('lamp', { where: 'x' })).statuscode).toBe(0);
  });

  test('of two agents of one name the first counts, and the second is told', async () => {
    agent('lamp', shell(answer('{"data":{"went":"impostor"}}')), { file: 'zz/lamp', ddl: 'zz/zz.json' });
    await until('it is told', () => node.log.some(({ message }) => message.includes('the agent lamp is already provided by')));
    expect((await go('lamp', { where: 'x' })).data).toMatchObject({ went: 'attic' });
  });
});
