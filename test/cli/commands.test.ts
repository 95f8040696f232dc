// The `muster` command as people use it: help, configuration, plugins.

import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { echoPlugin } from '../support/echo.ts';
import { temporaryFolder, until } from '../support/folders.ts';
import { startHost } from '../support/hosts.ts';
import { needs } from '../support/languages.ts';

const main = join(distributionRoot(), 'core/cli/main.js');
const { path: folder, remove } = temporaryFolder();
afterAll(remove);

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function muster(...args: string[]): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(
      process.execPath,
      [main, ...args],
      { cwd: folder, env: { ...process.env, HOME: folder, NO_COLOR: '1' } },
      (error, out, err) => {
        resolve({ code: error ? Number(error.code ?? 1) : 0, out, err });
      },
    );
  });
}

describe('help', () => {
  test('lists every command', async () => {
    const { code, out } = await muster('--help');
    expect(code).toBe(0);
    for (const command of [
      'ping',
      'find',
      'req',
      'facts',
      'inventory',
      'why',
      'run',
      'plugin',
      'config',
      'completion',
      'overlay',
      'emulate',
    ])
      expect(out).toContain(`  ${command}`);
  });

  test.each([
    ['req'],
    ['ping'],
    ['find'],
    ['facts'],
    ['inventory'],
    ['why'],
    ['run'],
    ['plugin', 'new'],
    ['plugin', 'test'],
    ['plugin', 'call'],
    ['overlay', 'up'],
    ['emulate'],
    ['config', 'check'],
    ['completion'],
  ])('of %s has examples', async (...path) => {
    const { code, out } = await muster(...path, '--help');
    expect(code).toBe(0);
    expect(out).toMatch(/Examples:\n[\s\S]*\$ (muster|source)/);
  });

  test('suggests the command that was meant', async () => {
    const { code, err } = await muster('pong');
    expect(code).toBe(1);
    expect(err).toContain('Did you mean ping?');
  });
});

describe('config check', () => {
  const check = async (text: string) => {
    writeFileSync(join(folder, 'server.conf'), text);
    return muster('config', 'check', join(folder, 'server.conf'));
  };

  test('accepts a good file', async () => {
    expect(
      await check('identity = n1.example.net\nplugin.choria.middleware_hosts = b1:4222, b2:4222\n# a comment\n'),
    ).toMatchObject({ code: 0, out: expect.stringContaining('good') });
  });

  test('refuses a malformed value with file and line', async () => {
    const { code, out } = await check('identity = n1.example.net\nttl = soon\nrpcauthorization = perhaps\n');
    expect(code).toBe(1);
    expect(out).toContain("server.conf:2: ttl must be a whole number, not 'soon'");
    expect(out).toContain('server.conf:3: rpcauthorization must be one of 1, yes, true');
  });

  test('warns of a misspelt key with a suggestion, and lets unknown plugin keys pass', async () => {
    const { code, out } = await check('idenity = n1.example.net\nplugin.mine.anything = 5\n');
    expect(code).toBe(0);
    expect(out).toContain('server.conf:1: idenity is not a known key; did you mean identity?');
    expect(out).not.toContain('plugin.mine.anything');
  });

  test('never shows a secret', async () => {
    writeFileSync(join(folder, 'secret.conf'), 'plugin.nats.pass = canary-in-the-config\n');
    const { out } = await muster('config', 'check', join(folder, 'secret.conf'), '--json');
    expect(out).not.toContain('canary-in-the-config');
    expect(JSON.parse(out)).toMatchObject({ ok: true, values: { 'plugin.nats.pass': '(secret)' } });
  });

  test('says what it can not read', async () => {
    expect(await muster('config', 'check', '/no/such/file')).toMatchObject({
      code: 1,
      out: expect.stringContaining('/no/such/file: cannot be read'),
    });
  });

  test('a node with a malformed value does not start', async () => {
    writeFileSync(join(folder, 'bad.conf'), 'plugin.choria.network.connect_timeout = later\n');
    const { code, err } = await muster('run', 'server', '--config', join(folder, 'bad.conf'));
    expect(code).toBe(1);
    expect(err).toContain(
      "bad.conf:1: plugin.choria.network.connect_timeout must be a duration such as 30, 10s, 1h30m, 2d or 1w, not 'later'",
    );
  });
});

describe('completion', () => {
  test.each(['bash', 'zsh', 'fish'])('for %s knows the commands', async (shell) => {
    const { code, out } = await muster('completion', shell);
    expect(code).toBe(0);
    expect(out).toContain('inventory');
  });

  test('in bash is a script that bash accepts', async () => {
    const { out } = await muster('completion', 'bash');
    writeFileSync(
      join(folder, 'completion.bash'),
      `${out}\nCOMP_WORDS=(muster plu); COMP_CWORD=1; _muster; echo "\${COMPREPLY[@]}"`,
    );
    const said = await new Promise<string>((resolve) =>
      execFile('bash', [join(folder, 'completion.bash')], (_error, text) => resolve(text)),
    );
    expect(said.trim()).toBe('plugin');
  });

  test('for another shell says which there are', async () => {
    expect(await muster('completion', 'tcsh')).toMatchObject({ code: 1, err: expect.stringContaining('bash, zsh and fish') });
  });
});

describe('plugin new', () => {
  beforeAll(() => needs('ruby'));

  test.each(['ts', 'python', 'ruby', 'shell'])('writes an agent in %s that works at once', async (language) => {
    const name = `greeter_${language}`;
    expect((await muster('plugin', 'new', 'agent', name, '--lang', language)).code).toBe(0);
    const params = JSON.stringify({ agent: name, action: 'hello', data: { name: 'Ada' } });
    const { code, out } = await muster('plugin', 'call', `./${name}`, 'agent/invoke', params);
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual({ statuscode: 0, statusmsg: 'OK', data: { greeting: 'Hello, Ada!' } });
  });

  test('says what is wrong with its arguments', async () => {
    mkdirSync(join(folder, 'taken'));
    expect((await muster('plugin', 'new', 'agent', 'x', '--lang', 'cobol')).err).toContain(
      'there are ts, python, go, rust, ruby',
    );
    expect((await muster('plugin', 'new', 'wizard', 'x', '--lang', 'ts')).err).toContain(
      'there are agent, auditor, authenticator, authorizer',
    );
    expect((await muster('plugin', 'new', 'agent', 'No-Good', '--lang', 'ts')).err).toContain('is no good name');
    expect((await muster('plugin', 'new', 'agent', 'taken', '--lang', 'ts')).err).toContain('is already there');
  });
});

describe('plugin doc', () => {
  test('lists what there is, and a folder of libdir counts', async () => {
    mkdirSync(join(folder, 'lib/mcollective/agent'), { recursive: true });
    const ddl = {
      metadata: {
        name: 'lamp',
        description: 'Lamps',
        author: 'x',
        license: 'x',
        version: '3.1.4',
        url: 'https://example.org',
        timeout: 5,
      },
      actions: [],
    };
    writeFileSync(join(folder, 'lib/mcollective/agent/lamp.json'), JSON.stringify(ddl));
    writeFileSync(join(folder, 'doc.conf'), `libdir = ${join(folder, 'lib')}\n`);
    const { code, out } = await muster('plugin', 'doc', '--config', join(folder, 'doc.conf'));
    expect(code).toBe(0);
    for (const line of [/^agent\/rpcutil +1\.0\.0 /m, /^agent\/lamp +3\.1\.4 +Lamps/m, /^data\/choria /m])
      expect(out).toMatch(line);
  });

  test('shows actions, inputs and outputs as text, Markdown or JSON', async () => {
    const { out } = await muster('plugin', 'doc', 'host');
    expect(out).toMatch(
      /Action processes:[\s\S]*\$ muster req host processes \[limit=…\] \[pattern=…\][\s\S]*limit: How many to return\n {6}integer, optional, default 20/,
    );
    expect((await muster('plugin', 'doc', 'agent/host', '-m')).out).toMatch(/^# Agent host\n[\s\S]*\n## load\n/);
    expect((await muster('plugin', 'doc', 'data/config_item')).out).toContain(
      `$ muster find -S 'config_item("…").present != nil'`,
    );
    expect(JSON.parse((await muster('plugin', 'doc', 'data/config_item', '--json')).out)).toMatchObject({
      metadata: { name: 'config_item' },
    });
  });

  test('says where it looked for what it does not know', async () => {
    expect(await muster('plugin', 'doc', 'nobody')).toMatchObject({
      code: 1,
      err: expect.stringContaining('there is no DDL for the agent nobody'),
    });
  });
});

describe('a running host', () => {
  test('is listed, called, traced, reloaded and asked why', async () => {
    const { path, remove: clean } = temporaryFolder();
    echoPlugin(path);
    const running = await startHost({ watched: [path], control: true });
    const state = ['--state', running.folder];
    try {
      const trace = muster('plugin', 'trace', 'echo', ...state, '--json');
      await until('the trace is on', () => running.host.traces.watched);
      const called = await muster('plugin', 'call', 'echo/echo', 'echo/echo', '{"text":"hi"}', ...state);
      expect(JSON.parse(called.out)).toMatchObject({ text: 'hi' });
      const { out } = await muster('plugin', 'list', ...state);
      expect(out).toMatch(/echo\/echo\s+echo 1\.0\.0\s+ready\s+persistent\s+\d+\s+1\s+0\s+0/);
      expect((await muster('plugin', 'reload', 'echo', ...state)).out).toContain('echo is loaded');
      expect((await muster('plugin', 'why', 'echo', ...state)).out).toContain('echo/echo of the bundle echo is active.');
      expect((await muster('plugin', 'why', 'nothing', ...state)).out).toContain('Nothing of the name nothing is loaded');
      writeFileSync(join(path, 'echo/bundle.yaml'), 'bundle: echo\n');
      await until('the problem is known', () => running.host.problems.length > 0);
      expect((await muster('plugin', 'why', 'echo', ...state)).out).toContain('must have required property');
      await running.host.stop();
      expect(JSON.parse((await trace).out.split('\n')[0] ?? '')).toMatchObject({
        plugin: 'echo/echo',
        method: 'echo/echo',
        outcome: 'ok',
      });
    } finally {
      await running.stop();
      clean();
    }
  });

  test('that is not there is told so', async () => {
    expect(await muster('plugin', 'list', '--state', folder)).toMatchObject({
      code: 1,
      err: expect.stringContaining('no host runs with the state folder'),
    });
  });
});
