// Agents that misbehave, on a real node: each gets one clear answer, and the node and its other agents live on.

import { chmodSync, existsSync, mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { temporaryFolder, until, writeBundle } from '../support/folders.ts';
import type { TestHost } from '../support/hosts.ts';

const { path: folder, remove } = temporaryFolder();
const watched = join(folder, 'bundles');
const libdir = join(folder, 'lib');
let fleet: Fleet;
let client: TestClient;
let node: TestHost;

const badAnswers = ['crlf', 'bom', 'nul', 'escaped_nul', 'not_utf8', 'nan', 'deep', 'large', 'no_object', 'bad_status'] as const;

const ddl = (name: string, actions: readonly string[], more: object = {}) =>
  JSON.stringify({
    metadata: { name, description: name, author: 'x', license: 'x', version: '1.0.0', url: 'x', timeout: 30, ...more },
    actions: actions.map((action) => ({
      action,
      description: action,
      display: 'always',
      input: Object.fromEntries(
        ['text', 'pattern', 'safe'].map((input) => [
          input,
          {
            prompt: input,
            description: input,
            type: 'string',
            optional: true,
            maxlength: 100_000,
            validation: { text: '', pattern: '^(([a-z])+.)+[A-Z]([a-z])+$', safe: 'shellsafe' }[input],
          },
        ]),
      ),
      output: { got: { description: 'Got', display_as: 'Got', type: 'string' } },
    })),
  });

/** What a program prints for each bad answer, given what comes before and after the data. */
const answers = `
def answer(action, head, tail):
    whole = head + b'{"got":"x"}' + tail
    return {
        "crlf": whole + b"\\r",
        "bom": b"\\xef\\xbb\\xbf" + whole,
        "nul": head + b'{"got":"a\\x00b"}' + tail,
        "escaped_nul": head + b'{"got":"a\\\\u0000b"}' + tail,
        "not_utf8": head + b'{"got":"\\xff\\xfe"}' + tail,
        "nan": head + b'{"got":NaN}' + tail,
        "deep": head + b'{"got":' + b"[" * 100000 + b"]" * 100000 + b"}" + tail,
        "large": head + b'{"got":"' + b"x" * (20 * 1024 * 1024) + b'"}' + tail,
        "no_object": b'"fine"',
        "bad_status": head.replace(b":0,", b':"zero",') + b"{}" + tail,
    }[action]
`;
const status = `b'{"statuscode":0,"statusmsg":"OK","data":', b'}'`;

/** Speaks the protocol by hand, as an agent in yet another language would. */
const persistent = `import json, sys
${answers}
out = sys.stdout.buffer
for line in sys.stdin.buffer:
    message = json.loads(line)
    id_ = json.dumps(message.get("id")).encode()
    if "method" not in message:
        continue
    if message["method"] == "initialize":
        result = b'{"protocol":1,"version":"1.0.0"}'
    elif message["method"] == "agent/invoke":
        action = message["params"]["action"]
        result = None
        if action == "no_object":
            result = answer(action, b"", b"")
        else:
            out.write(answer(action, b'{"jsonrpc":"2.0","id":' + id_ + b',"result":{"statuscode":0,"statusmsg":"OK","data":', b'}}') + b"\\n")
    else:
        result = b"{}"
    if result is not None:
        out.write(b'{"jsonrpc":"2.0","id":' + id_ + b',"result":' + result + b"}\\n")
    out.flush()
`;
const oneshot = `import json, sys
${answers}
sys.stdout.buffer.write(answer(json.load(sys.stdin)["action"], ${status}))
`;
const withSdk = `import math
from muster_plugin import Agent
agent = Agent("sdk")
@agent.action
def nan(data, call): return {"got": math.nan}
@agent.action
def deep(data, call):
    value = []
    for _ in range(100000): value = [value]
    return {"got": value}
@agent.action
def large(data, call): return {"got": "x" * 20 * 1024 * 1024}
@agent.action
def no_object(data, call): return {"got": object()}
@agent.action
def undeclared(data, call): return {"got": 5, "more": 1}
@agent.action
def echo(data, call): return {"got": data.get("text", "")}
agent.run()
`;
const external = `#!/usr/bin/env python3
import json, os
${answers}
env = os.environ
if env["CHORIA_EXTERNAL_PROTOCOL"].endswith("activation_request"):
    reply = b'{"activate":true}'
else:
    reply = answer(json.load(open(env["CHORIA_EXTERNAL_REQUEST"]))["action"], ${status})
open(env["CHORIA_EXTERNAL_REPLY"], "wb").write(reply)
`;
/** Hands what it was given on to other programs, as scripts do. */
const shell = `#!/bin/sh
input=$(cat)
text=$(printf '%s' "$input" | python3 -c 'import json,sys; sys.stdout.write(json.load(sys.stdin)["data"]["text"])'; printf x)
text=\${text%x}
printf '%s' "$text" | python3 -c 'import json,sys; print(json.dumps({"statuscode":0,"statusmsg":"OK","data":{"got":sys.stdin.read()}}))'
`;

const manifestOf = (name: string, entry: string) =>
  `bundle: ${name}\nversion: 1.0.0\nplugins:\n  - { kind: agent, name: ${name}, ${entry}, resources: { ddl: ./ddl.json } }\n`;

function externalAgent(name: string, program: string, actions: readonly string[] = badAnswers): void {
  const agents = join(libdir, 'mcollective/agent');
  mkdirSync(agents, { recursive: true });
  writeFileSync(join(agents, name), program);
  chmodSync(join(agents, name), 0o755);
  const document = join(agents, `${name}.json`);
  writeFileSync(document, ddl(name, actions, { provider: 'external' }));
  utimesSync(document, Date.now() / 1000 - 10, Date.now() / 1000 - 10);
}

beforeAll(async () => {
  const all = ddl('x', badAnswers);
  const bundle = (
    name: string,
    entry: string,
    files: Record<string, string>,
    document = all.replace('"name":"x"', `"name":"${name}"`),
  ) => writeBundle(watched, name, manifestOf(name, entry), { ...files, 'ddl.json': document });
  bundle('persistent', 'runner: persistent, command: [python3, ./agent.py]', { 'agent.py': persistent });
  bundle('oneshot', 'runner: oneshot, command: [python3, ./agent.py]', { 'agent.py': oneshot });
  bundle(
    'sdk',
    'runner: persistent, command: [python3, ./agent.py]',
    { 'agent.py': withSdk },
    ddl('sdk', ['nan', 'deep', 'large', 'no_object', 'undeclared', 'echo', 'absent']),
  );
  bundle('shell', 'runner: oneshot, command: [./agent.sh]', { 'agent.sh': shell }, ddl('shell', ['echo']));
  bundle('no_interpreter', 'runner: persistent, command: [./agent]', { agent: '#!/no/such/interpreter\n' });
  bundle('with_crlf', 'runner: oneshot, command: [./agent]', { agent: '#!/bin/sh\r\necho\r\n' });
  bundle('with_bom', 'runner: oneshot, command: [./agent]', { agent: '\ufeff#!/usr/bin/env python3\nprint(1)\n' });
  chmodSync(join(watched, 'with_bom/agent'), 0o755);
  bundle('misnamed', 'runner: oneshot, command: [cat]', {}, ddl('another', ['go']));
  externalAgent('external', external);
  externalAgent('external_crlf', '#!/bin/sh\r\nexit 0\r\n');
  fleet = await Fleet.start();
  node = await fleet.node('bad.test', { watched: [watched], config: { libdir } });
  client = await fleet.client();
  await until('the external agent is there', async () => (await client.ask('bad.test', 'external', 'crlf')).statuscode === 0);
});
afterAll(async () => {
  await fleet.stop();
  remove();
});

const go = (agent: string, action: string, data: Record<string, unknown> = {}) =>
  client.ask('bad.test', agent, action, data, { timeoutMs: 45_000 });

describe('what a program answers', () => {
  test.each(['persistent', 'oneshot', 'external'])('%s: a carriage return and an escaped NUL do no harm', async (agent) => {
    expect(await go(agent, 'crlf')).toMatchObject({ statuscode: 0, data: { got: 'x' } });
    expect(await go(agent, 'escaped_nul')).toMatchObject({ statuscode: 0, data: { got: 'a\0b' } });
  });

  test.each(['oneshot', 'external'])('%s: a byte order mark does no harm', async (agent) => {
    expect(await go(agent, 'bom')).toMatchObject({ statuscode: 0, data: { got: 'x' } });
  });

  const failed = 'Could not call external agent external';
  test.each<[string, string, string]>([
    ['persistent', 'bom', 'its answer is not JSON: \ufeff{"jsonrpc":"2.0"'],
    ['persistent', 'nul', 'its answer is not JSON: '],
    ['persistent', 'not_utf8', 'its answer is not UTF-8: '],
    ['persistent', 'nan', 'its answer is not JSON: '],
    ['persistent', 'large', 'its answer is longer than was agreed: '],
    ['persistent', 'deep', 'The reply is nested too deep to be sent'],
    ['persistent', 'no_object', 'agent/invoke'],
    ['persistent', 'bad_status', 'statuscode'],
    ['oneshot', 'nul', 'agent/oneshot printed no JSON on stdout but: '],
    ['oneshot', 'not_utf8', 'agent/oneshot printed bytes on stdout that are not UTF-8'],
    ['oneshot', 'nan', 'agent/oneshot printed no JSON on stdout but: '],
    ['oneshot', 'large', 'agent/oneshot printed more than 4194304 bytes; hand larger data over in a file'],
    ['oneshot', 'deep', 'The reply is nested too deep to be sent'],
    ['oneshot', 'no_object', 'agent/invoke'],
    ['oneshot', 'bad_status', 'statuscode'],
    ['external', 'nul', `${failed}#nul: failed to decode reply json: `],
    ['external', 'not_utf8', `${failed}#not_utf8: failed to decode reply json: `],
    ['external', 'nan', `${failed}#nan: failed to decode reply json: `],
    ['external', 'large', `${failed}#large: failed to decode reply json: it has 20971`],
    ['external', 'deep', 'The reply is nested too deep to be sent'],
    ['external', 'no_object', `${failed}#no_object: failed to decode reply json: it is not an object`],
    ['external', 'bad_status', `${failed}#bad_status: failed to decode reply json: statuscode "zero" is none from 0 to 255`],
    ['sdk', 'nan', 'Out of range float values are not JSON compliant'],
    ['sdk', 'deep', 'maximum recursion depth exceeded'],
    ['sdk', 'large', 'hand it over in a file'],
    ['sdk', 'no_object', 'Object of type object is not JSON serializable'],
  ])('%s: %s is answered with the reason', async (agent, action, reason) => {
    const reply = await go(agent, action);
    expect([reply.statuscode, reply.statusmsg]).toEqual([1, expect.stringContaining(reason)]);
    // Nobody had to wait for the deadline of the action.
    expect(reply.statusmsg).not.toMatch(/did not answer within/);
  });

  test('afterwards the node and all of its agents still answer', async () => {
    expect((await go('rpcutil', 'ping')).statuscode).toBe(0);
    for (const agent of ['persistent', 'oneshot', 'external']) expect(await go(agent, 'crlf')).toMatchObject({ statuscode: 0 });
    expect(await go('sdk', 'echo', { text: 'on' })).toMatchObject({ data: { got: 'on' } });
  });
});

describe('a DDL that contradicts its agent', () => {
  test('by an action that the agent lacks: the agent says so', async () => {
    expect(await go('sdk', 'absent')).toMatchObject({ statuscode: 2, statusmsg: 'Unknown action absent for agent sdk' });
  });

  test('by an action that it leaves out: the node does not hand it on', async () => {
    expect(await go('sdk', 'hidden')).toMatchObject({ statuscode: 2, statusmsg: 'Unknown action hidden for agent sdk' });
  });

  test('in its outputs: the reply is sent, and the author told once', async () => {
    for (const _ of [1, 2]) expect(await go('sdk', 'undeclared')).toMatchObject({ statuscode: 0, data: { got: 5, more: 1 } });
    const said = node.log.filter(({ message }) => message.startsWith('sdk#undeclared answers')).map(({ message }) => message);
    expect(said).toEqual([
      "sdk#undeclared answers 'got', which is not a string as its DDL says it is; correct one of them",
      "sdk#undeclared answers 'more', which its DDL does not declare; correct one of them",
    ]);
  });

  test('in its name: the agent is left out, and the log says why', async () => {
    expect((await go('misnamed', 'go')).statuscode).toBe(2);
    await until('the log says why', () =>
      node.log.some(
        ({ message }) =>
          message === 'the DDL of agent/misnamed of the bundle misnamed is that of another; its metadata.name has to be misnamed',
      ),
    );
  });
});

describe('a program that can not be run is explained to the caller', () => {
  test.each([
    ['no_interpreter', 'the interpreter /no/such/interpreter does not exist; try: install it, or correct the first line'],
    ['with_crlf', 'the first line ends in a carriage return; try: save the file with Unix line ends'],
    ['with_bom', 'begins with a byte order mark, so that the shell runs it: save the file as UTF-8 without one'],
  ])('%s', async (agent, reason) => {
    const reply = await go(agent, 'crlf');
    expect([reply.statuscode, reply.statusmsg]).toEqual([1, expect.stringContaining(reason)]);
  });

  test('an external agent, when it is to be activated', async () => {
    await until('the log explains it', () =>
      node.log.some(
        ({ message }) =>
          message.startsWith('the external agent external_crlf is not activated') && message.includes('carriage return'),
      ),
    );
  });
});

test('an external agent that accepts later is asked again', async () => {
  const [asked, accepts] = [join(folder, 'asked'), join(folder, 'accepts')];
  externalAgent(
    'later',
    `#!/bin/sh\n[ -e "${accepts}" ] && answer=true || answer=false\nprintf '{"activate":%s,"data":{}}' $answer > "$CHORIA_EXTERNAL_REPLY"\ntouch "${asked}"\n`,
    ['go'],
  );
  await until('it was asked', () => existsSync(asked));
  expect((await go('later', 'go')).statuscode).toBe(2);
  writeFileSync(accepts, '');
  await until('it is active', async () => (await go('later', 'go')).statuscode === 0);
});

describe('input', () => {
  const hostile = [
    '; touch /tmp/x',
    '$(id)',
    '`id`',
    '| cat /etc/passwd',
    '&& id',
    '> /tmp/x',
    '< /etc/passwd',
    "' OR 1=1 --",
    '"\\"',
    '-rf /',
    '--help',
    '*?[a]',
    '~root',
    `$${'{HOME}'}`,
    '%s%n',
    'a\nb\r\n\tc',
    '\u0000',
    '\u202e\ud83d\ude00',
    '../../etc/passwd',
  ];

  test.each(hostile)('%j reaches an agent as it is, in Python and in a shell script', async (text) => {
    expect(await go('sdk', 'echo', { text })).toMatchObject({ statuscode: 0, data: { got: text } });
    // No variable of a shell can hold a NUL.
    if (!text.includes('\0')) expect(await go('shell', 'echo', { text })).toMatchObject({ statuscode: 0, data: { got: text } });
  });

  test.each(['a;b', 'a|b', 'a&&b', 'a$b', 'a`b', 'a>b', 'a<b'])('%j is no shellsafe text', async (safe) => {
    expect(await go('sdk', 'echo', { safe })).toMatchObject({
      statuscode: 4,
      statusmsg: expect.stringContaining("validation failed for input 'safe': may not contain"),
    });
  });

  test('is held against a hostile pattern in linear time, while others are served', async () => {
    const pattern = `${'aaaaaaaaaa'.repeat(5_000)}!`;
    const [slow, quick] = await Promise.all([go('sdk', 'echo', { pattern }), go('rpcutil', 'ping')]);
    expect(slow).toMatchObject({
      statuscode: 4,
      statusmsg: expect.stringContaining("validation failed for input 'pattern': input does not match"),
    });
    expect(quick.statuscode).toBe(0);
  });
});

describe('two bundles that offer one agent', () => {
  const twin = (name: string) =>
    writeBundle(
      watched,
      name,
      manifestOf(name, 'runner: oneshot, command: [./agent]').replace(`name: ${name}, runner`, 'name: twin, runner'),
      {
        agent: `#!/bin/sh\necho '{"statuscode":0,"statusmsg":"OK","data":{"got":"${name}"}}'\n`,
        'ddl.json': ddl('twin', ['go']),
      },
    );

  test('the first one keeps it, the second is named with what to do, and takes over when the first goes', async () => {
    twin('twin_a');
    await until('the first answers', async () => (await go('twin', 'go')).statuscode === 0);
    twin('twin_b');
    await until('the second is reported', () => node.host.problems.some(({ message }) => message.includes('twin_b')));
    expect(node.host.problems.find(({ message }) => message.includes('twin_b'))?.message).toMatch(
      /twin_b: agent\/twin is already provided by the bundle twin_a; rename one of them$/,
    );
    expect(await go('twin', 'go')).toMatchObject({ data: { got: 'twin_a' } });
    rmSync(join(watched, 'twin_a'), { recursive: true });
    await until('the second answers', async () => {
      const { statuscode, data } = await go('twin', 'go');
      return statuscode === 0 && (data as { got: string }).got === 'twin_b';
    });
    await until('nothing is reported any more', () => !node.host.problems.some(({ message }) => message.includes('twin')));
  });
});
