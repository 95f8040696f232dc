// A request's way through real parts: client, broker with mutual TLS, nodes, agents in three languages.

import { appendFileSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Fleet, type TestClient } from './fleet.ts';
import { temporaryFolder, until, writeBundle } from './folders.ts';

const slowManifest = `bundle: slow
version: 1.0.0
plugins:
  - { kind: agent, name: slow, runner: oneshot, command: [sh, ./slow.sh], resources: { ddl: ./ddl.json } }
`;
const slowDdl = {
  metadata: {
    name: 'slow',
    description: 'Waits',
    author: 'x',
    license: 'x',
    version: '1.0.0',
    url: 'https://example.org',
    timeout: 2,
  },
  actions: [{ action: 'wait', description: 'Waits', display: 'always', input: {}, output: {} }],
};

// A plugin may not care how it is run: the same requests, with every first-party plugin inline and as a process of its own.
export function describeRequests(runs: 'inline' | 'persistent'): void {
  const runner = runs === 'persistent' ? { inlineAs: runs } : {};
  describe(`with the plugins of the node run ${runs}`, () => {
    let fleet: Fleet;
    let client: TestClient;
    const { path: dropped, remove } = temporaryFolder();
    const { path: audit, remove: removeAudit } = temporaryFolder();

    beforeAll(async () => {
      fleet = await Fleet.start();
      await Promise.all([
        fleet.node('web1.test', {
          ...runner,
          facts: { os: { family: 'Debian' }, cpus: 4, site: 'berlin' },
          classes: ['role::web', 'nginx'],
          watched: [dropped],
        }),
        fleet.node('web2.test', {
          ...runner,
          facts: { os: { family: 'Debian' }, cpus: 8, site: 'oslo' },
          classes: ['role::web'],
        }),
        fleet.node('db1.test', {
          ...runner,
          facts: { os: { family: 'RedHat' }, cpus: 16, site: 'oslo' },
          classes: ['role::db'],
          config: {
            collectives: 'mcollective,databases',
            rpcaudit: true,
            'plugin.actionpolicy.enable_default': true,
            'plugin.rpcaudit.logfile': join(audit, 'audit.log'),
          },
          policies: {
            default: ['policy default deny', 'allow\tchoria=operator.mcollective\t*\t*\t*'],
            host: ['policy default deny', 'allow\tchoria=operator.mcollective\tload\t*\t*'],
          },
        }),
      ]);
      client = await fleet.client('operator.mcollective', { collectives: 'mcollective,databases' });
    });
    afterAll(async () => {
      await fleet.stop();
      remove();
      removeAudit();
    });

    describe('discovery', () => {
      test('finds every node', async () => {
        expect(await client.find()).toEqual(['db1.test', 'web1.test', 'web2.test']);
      });

      test.each([
        ['a name', { identities: ['web1.test'] }, ['web1.test']],
        ['a pattern of names', { identities: ['/^web/'] }, ['web1.test', 'web2.test']],
        ['a class', { classes: ['role::db'] }, ['db1.test']],
        ['a pattern of classes', { classes: ['/^role::/'] }, ['db1.test', 'web1.test', 'web2.test']],
        ['a fact', { facts: ['os.family=Debian'] }, ['web1.test', 'web2.test']],
        ['a fact that is compared', { facts: ['cpus>4'] }, ['db1.test', 'web2.test']],
        ['facts and classes together', { facts: ['site=oslo'], classes: ['role::web'] }, ['web2.test']],
        ['an agent', { agents: ['uptime'] }, ['db1.test', 'web1.test', 'web2.test']],
        ['words that are facts and classes', { combined: ['role::web cpus>=8'] }, ['web2.test']],
        ['something that nobody has', { classes: ['role::cache'] }, []],
      ] as const)('by %s', async (_what, flags, expected) => {
        expect(await client.find(flags, expected.length > 0 ? undefined : 1_000)).toEqual(expected);
      });

      test('in a collective reaches its members only', async () => {
        const { answers } = await client.fleet.ping({ collective: 'databases' });
        expect(answers.map(({ sender }) => sender)).toEqual(['db1.test']);
      });
    });

    describe('a request', () => {
      test('to all nodes gathers every reply and ends with the last', async () => {
        const started = Date.now();
        const { replies, statistics } = await client.call({
          agent: 'rpcutil',
          action: 'get_fact',
          data: { fact: 'site' },
          targets: ['web1.test', 'web2.test', 'db1.test'],
        });
        expect(Object.fromEntries(replies.map(({ sender, data }) => [sender, (data as { value: string }).value]))).toEqual({
          'web1.test': 'berlin',
          'web2.test': 'oslo',
          'db1.test': 'oslo',
        });
        expect(statistics).toMatchObject({
          discovered: 3,
          responses: 3,
          ok: 3,
          failed: 0,
          noResponses: [],
          unexpectedResponses: [],
        });
        expect(Date.now() - started).toBeLessThan(14_000);
      });

      test('to an agent in Python measures the machine', async () => {
        const { statuscode, data } = await client.ask('web1.test', 'host', 'load');
        expect(statuscode).toBe(0);
        expect(data).toMatchObject({ cpus: expect.any(Number), load1: expect.any(Number) });
        const { data: processes } = await client.ask('web1.test', 'host', 'processes', { limit: 3 });
        expect((processes as { processes: unknown[] }).processes).toHaveLength(3);
      });

      test('to an agent in shell runs it once', async () => {
        const { data } = await client.ask('web1.test', 'uptime', 'show');
        const kernel = readFileSync('/proc/sys/kernel/osrelease', 'utf8').trim();
        expect(data).toMatchObject({ kernel, seconds: expect.any(Number) });
      });

      test('that waits for a node that is not there names it', async () => {
        const { replies, statistics } = await client.call({
          agent: 'rpcutil',
          action: 'ping',
          data: {},
          targets: ['web1.test', 'nobody.test'],
          timeoutMs: 2_000,
        });
        expect(replies.map(({ sender }) => sender)).toEqual(['web1.test']);
        expect(statistics).toMatchObject({ noResponses: ['nobody.test'], discovered: 2, responses: 1 });
      });

      test('in batches reaches everybody, group by group', async () => {
        const order: string[] = [];
        const { statistics } = await client.call({
          agent: 'rpcutil',
          action: 'ping',
          data: {},
          targets: ['web1.test', 'web2.test', 'db1.test'],
          batchSize: 1,
          batchSleepMs: 10,
          onReply: ({ sender }) => order.push(sender),
        });
        expect(order).toEqual(['web1.test', 'web2.test', 'db1.test']);
        expect(statistics).toMatchObject({ responses: 3, unexpectedResponses: [], noResponses: [] });
      });

      test('with a limit reaches so many', async () => {
        const targets = ['web1.test', 'web2.test', 'db1.test'];
        const request = { agent: 'rpcutil', action: 'ping', data: {}, targets };
        expect((await client.call({ ...request, limit: '2' })).statistics.responses).toBe(2);
        expect((await client.call({ ...request, limit: '34%' })).statistics.responses).toBe(1);
        await expect(client.call({ ...request, limit: '1%' })).rejects.toThrow(/no targets left/);
        await expect(client.call({ ...request, limit: 'some' })).rejects.toThrow(/either number or percent/);
      });

      test('that nobody fits is an error before anything is sent', async () => {
        await expect(
          client.call({
            agent: 'no_such_agent',
            action: 'x',
            data: {},
            discovery: { filter: { fact: [], cf_class: [], identity: [], compound: [] }, timeoutMs: 300 },
          }),
        ).rejects.toThrow('did not discover any nodes');
      });

      test('that is aborted ends at once', async () => {
        const cancel = new AbortController();
        const waiting = client.call({
          agent: 'rpcutil',
          action: 'ping',
          data: {},
          targets: ['nobody.test'],
          signal: cancel.signal,
        });
        setTimeout(() => cancel.abort(new Error('enough')), 100);
        await expect(waiting).rejects.toThrow('enough');
      });
    });

    describe('a request that can not be done is answered with a status and a reason', () => {
      test('an unknown agent with 2', async () => {
        expect(await client.ask('web1.test', 'no_such_agent', 'x')).toMatchObject({
          statuscode: 2,
          statusmsg: expect.stringContaining('Unknown agent no_such_agent'),
        });
      });

      test('an unknown action with 2', async () => {
        expect(await client.ask('web1.test', 'rpcutil', 'dance')).toMatchObject({
          statuscode: 2,
          statusmsg: 'Unknown action dance for agent rpcutil',
        });
      });

      test('input that the DDL refuses with 4', async () => {
        expect(await client.ask('web1.test', 'rpcutil', 'get_fact', {})).toMatchObject({
          statuscode: 4,
          statusmsg: expect.stringContaining("input 'fact' is required"),
        });
        expect(await client.ask('web1.test', 'host', 'processes', { limit: 'many' })).toMatchObject({
          statuscode: 4,
          statusmsg: expect.stringContaining('is not an integer'),
        });
        expect(await client.ask('web1.test', 'rpcutil', 'ping', { extra: 1 })).toMatchObject({ statuscode: 4 });
      });

      test('data that do not exist with the reason of the agent', async () => {
        expect(await client.ask('web1.test', 'rpcutil', 'get_data', { source: 'nothing' })).toMatchObject({
          statuscode: 1,
          statusmsg: 'Unknown data plugin',
        });
      });

      test('what the policy does not allow with 1, and `why` tells which rule', async () => {
        const { replies, statistics } = await client.call({ agent: 'host', action: 'users', data: {}, targets: ['db1.test'] });
        expect(replies[0]).toMatchObject({ statuscode: 1, statusmsg: 'You are not authorized to call this agent or action' });
        const { data } = await client.ask('db1.test', 'muster', 'why', { requestid: statistics.requestId });
        expect(JSON.stringify(data)).toMatch(/denied: /);
        expect((await client.ask('db1.test', 'host', 'load')).statuscode).toBe(0);
      });

      test('somebody whom no policy names with 1', async () => {
        const stranger = await fleet.client('stranger.mcollective');
        expect(await stranger.ask('db1.test', 'rpcutil', 'ping')).toMatchObject({ statuscode: 1 });
      });

      test('an action past its deadline with 1', async () => {
        writeBundle(dropped, 'slow', slowManifest, { 'slow.sh': 'sleep 30\n', 'ddl.json': JSON.stringify(slowDdl) });
        await until('web1 has the agent slow', async () =>
          (await client.find({ agents: ['slow'] }, 1_000)).includes('web1.test'),
        );
        const reply = await client.ask('web1.test', 'slow', 'wait', {}, { timeoutMs: 30_000 });
        expect(reply).toMatchObject({ statuscode: 1, statusmsg: 'slow#wait did not answer within 2 s' });
      });
    });

    test('an agent that is dropped into the folder is callable a second later, and gone when it is removed', async () => {
      const manifest = slowManifest.replaceAll('slow', 'quick');
      const ddl = JSON.stringify(slowDdl).replaceAll('slow', 'quick');
      const started = Date.now();
      writeBundle(dropped, 'quick', manifest, {
        'quick.sh': `printf '{"statuscode":0,"statusmsg":"OK","data":{}}'\n`,
        'ddl.json': ddl,
      });
      const reply = await until('it answers', async () => {
        const answer = await client.ask('web1.test', 'quick', 'wait').catch(() => undefined);
        return answer?.statuscode === 0 ? answer : undefined;
      });
      expect(reply.statusmsg).toBe('OK');
      expect(Date.now() - started).toBeLessThan(30_000);
      const { rmSync } = await import('node:fs');
      rmSync(join(dropped, 'quick'), { recursive: true });
      await until('it is gone', async () => (await client.ask('web1.test', 'quick', 'wait')).statuscode === 2);
    });

    test('each authorized request is in the audit log before it is done', async () => {
      await client.ask('db1.test', 'rpcutil', 'get_fact', { fact: 'site' });
      const lines = readFileSync(join(audit, 'audit.log'), 'utf8')
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, unknown>);
      expect(lines.at(-1)).toMatchObject({
        caller: 'choria=operator.mcollective',
        agent: 'rpcutil',
        action: 'get_fact',
        data: { fact: 'site' },
      });
    });

    test('facts that change on disk count for the next request', async () => {
      const node = await fleet.node('late.test', { facts: { state: 'old' } });
      const file = node.host.options.config.values.get('plugin.yaml') as readonly string[];
      expect((await client.ask('late.test', 'rpcutil', 'get_fact', { fact: 'state' })).data).toMatchObject({ value: 'old' });
      const { writeFileSync } = await import('node:fs');
      writeFileSync(file[0] ?? '', JSON.stringify({ state: 'new, and longer' }));
      await until(
        'the new value is told',
        async () =>
          ((await client.ask('late.test', 'rpcutil', 'get_fact', { fact: 'state' })).data as { value: string }).value ===
          'new, and longer',
      );
      appendFileSync(file[0] ?? '', 'garbage');
      await until('the log tells of the file', async () => {
        await client.ask('late.test', 'rpcutil', 'get_fact', { fact: 'state' });
        return node.log.some(({ message }) => message.includes('is left out of the facts'));
      });
    });
  });
}
