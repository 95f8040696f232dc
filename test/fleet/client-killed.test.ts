// The client is killed, or interrupted, in the middle of a request: the nodes finish what they began, and serve the next one.

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { writeConfig } from '../support/command.ts';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { isAlive, temporaryFolder, until, writeBundle } from '../support/folders.ts';
import type { TestHost } from '../support/hosts.ts';

const main = join(distributionRoot(), 'core/cli/main.js');
const { path: folder, remove } = temporaryFolder();
const [begun, finished, go] = ['begun', 'finished', 'go'].map((name) => join(folder, name)) as [string, string, string];
let fleet: Fleet;
let client: TestClient;
let config: string;
const nodes: TestHost[] = [];

const manifest = `bundle: held
version: 1.0.0
plugins:
  - { kind: agent, name: held, runner: oneshot, command: [sh, ./held.sh], resources: { ddl: ./ddl.json } }
`;
/** Begins, waits until it is let go, and finishes. */
const held = `echo $$ >> ${begun}
until [ -e ${go} ]; do sleep 0.05; done
echo $$ >> ${finished}
printf '{"statuscode":0,"statusmsg":"OK","data":{}}'`;
const ddl = {
  metadata: { name: 'held', description: 'x', author: 'x', license: 'x', version: '1.0.0', url: 'x', timeout: 30 },
  actions: [{ action: 'act', description: 'x', display: 'always', input: {}, output: {} }],
};

beforeAll(async () => {
  writeBundle(folder, 'held', manifest, { 'held.sh': held, 'ddl.json': JSON.stringify(ddl) });
  fleet = await Fleet.start();
  for (const name of ['n1.test', 'n2.test']) nodes.push(await fleet.node(name, { bundles: [folder] }));
  client = await fleet.client();
  config = writeConfig(fleet.folder, 'client.conf', {
    ...(await fleet.certificate('operator.mcollective')),
    identity: 'operator.mcollective',
    'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
    'plugin.choria.agent_provider.mcorpc.libdir': folder,
    'plugin.muster.bundles': folder,
  });
});
afterAll(async () => {
  await fleet.stop();
  remove();
});
beforeEach(() => {
  for (const file of [begun, finished, go]) rmSync(file, { force: true });
});

const pidsIn = (file: string) =>
  existsSync(file)
    ? readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map(Number)
    : [];

/** All processes that a process started, and those that they did. */
function descendantsOf(pid: number): number[] {
  const children = readdirSync('/proc').flatMap((name) => {
    try {
      const parent = /\) \S (\d+)/.exec(readFileSync(`/proc/${name}/stat`, 'utf8'))?.[1];
      return Number(parent) === pid ? [Number(name)] : [];
    } catch {
      return [];
    }
  });
  return children.flatMap((child) => [child, ...descendantsOf(child)]);
}

/** The command in the middle of a request, which both nodes have begun. */
async function inTheMiddle(): Promise<{ child: ChildProcess; family: number[]; err: () => string }> {
  const child = spawn(
    process.execPath,
    [main, 'req', 'held', 'act', '-I', 'n1.test', '-I', 'n2.test', '--timeout', '60', '--config', config],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let err = '';
  child.stderr?.on('data', (part: Buffer) => {
    err += part.toString();
  });
  child.stdout?.resume();
  await until('both nodes have begun', () => pidsIn(begun).length === 2);
  return { child, family: [child.pid ?? 0, ...descendantsOf(child.pid ?? 0)], err: () => err };
}

async function endsWell(family: readonly number[]): Promise<void> {
  await until('nothing of the client is left', () => !family.some(isAlive));
  // While they are at work for somebody who is gone, nodes serve others.
  for (const name of ['n1.test', 'n2.test']) expect(await client.ask(name, 'rpcutil', 'ping')).toMatchObject({ statuscode: 0 });
  expect(pidsIn(begun).every(isAlive)).toBe(true);
  writeFileSync(go, '');
  await until('both have finished', () => pidsIn(finished).length === 2);
  await until('nothing of the agents is left', () => !pidsIn(begun).some(isAlive));
  expect(pidsIn(finished).sort()).toEqual(pidsIn(begun).sort());
  const { statistics } = await client.call({ agent: 'held', action: 'act', data: {}, targets: ['n1.test', 'n2.test'] });
  expect(statistics).toMatchObject({ responses: 2, ok: 2 });
  for (const { host, log } of nodes) {
    expect(host.list('service').find(({ name }) => name === 'server')).toMatchObject({ state: 'ready', restarts: 0 });
    expect(log.filter(({ level }) => level === 'error')).toEqual([]);
  }
}

describe('a client in the middle of a request', () => {
  test('that is killed leaves nothing behind, and the nodes finish and serve', async () => {
    const { child, family } = await inTheMiddle();
    child.kill('SIGKILL');
    const [, signal] = await once(child, 'exit');
    expect(signal).toBe('SIGKILL');
    await endsWell(family);
  });

  test.each(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)(
    'that gets %s ends at once with 130, and so do its children',
    async (signal) => {
      const { child, family, err } = await inTheMiddle();
      const at = performance.now();
      child.kill(signal);
      const [code] = await once(child, 'exit');
      expect({ code, err: err() }).toEqual({ code: 130, err: expect.not.stringContaining('muster:') });
      expect(performance.now() - at).toBeLessThan(20_000);
      await endsWell(family);
    },
  );
});
