// Provisioners that are killed and stopped at each step, nodes that vanish, brokers that restart, crowds, and helpers that are
// of no use: in the end every node is enrolled, and none is configured twice.

import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from 'nats';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { lifecycleEvent } from '../../plugins/wire/lifecycle.ts';
import { runMuster, writeConfig } from '../support/command.ts';
import { ProvisioningNetwork, statusOf } from '../support/enrolling-network.ts';
import { until } from '../support/folders.ts';
import { NatsServer } from '../support/nats.ts';
import { ProvisionerProcess } from '../support/provisioner-process.ts';
import { WaitingNode, type WaitingNodeOptions } from '../support/waiting-node.ts';

const main = join(distributionRoot(), 'core/cli/main.js');

let network: ProvisioningNetwork;
let nodes: NatsConnection;
let overlay: NatsConnection;
const up = new Set<string>();
const processes: ProvisionerProcess[] = [];

beforeEach(async () => {
  network = await ProvisioningNetwork.start();
  nodes = await network.connection();
  overlay = await network.connection('overlay');
  up.clear();
  (await network.connection('overlay')).subscribe('choria.lifecycle.event.startup.server', {
    callback: (_error, message) => void up.add(message.json<{ data: { identity: string } }>().data.identity),
  });
});
afterEach(async () => {
  for (const one of processes.splice(0)) {
    one.signal('SIGCONT');
    await one.kill();
  }
  await network.stop();
});

function provisioner(name: string, more: Readonly<Record<string, unknown>> = {}): ProvisionerProcess {
  const one = new ProvisionerProcess(network, name, more);
  processes.push(one);
  return one;
}

async function waiting(identity: string, more: Partial<WaitingNodeOptions> = {}): Promise<WaitingNode> {
  return new WaitingNode(nodes, { identity, token: await network.token(), overlay, ...more }).start();
}

const actions = ['jwt', 'inventory', 'gencsr', 'configure', 'restart'] as const;

describe('a leader at each step', () => {
  const cases = actions.flatMap((action) => [[action, 'SIGKILL'] as const, [action, 'SIGSTOP'] as const]);
  test.each(cases)('%s: %s, and the next one is at work within 10 seconds', async (action, signal) => {
    const first = provisioner('first');
    await until('it leads', () => first.epoch > 0);
    const second = provisioner('second');
    await until('it stands by', () => second.log.includes('connected to the broker'));
    let hit = 0;
    const node = await waiting('n1.example.net', {
      // Asked, and not yet answered: what the first one hears of it is up to the signal.
      answer: () => {
        if (node.asked.at(-1)?.action !== action || hit > 0) return undefined;
        hit = performance.now();
        first.signal(signal);
        return undefined;
      },
    });
    await until('it is hit', () => hit > 0);
    await until('the second leads', () => second.epoch > 0);
    expect(performance.now() - hit).toBeLessThan(10_000);
    await until('the node is up', () => up.has('n1.example.net'), 60_000);
    if (signal === 'SIGSTOP') {
      const before = node.asked.length;
      first.signal('SIGCONT');
      await until('it sees that it leads no more', () => first.log.includes('does not lead any more'));
      await sleep(1_000);
      expect(node.asked.length).toBe(before);
    }
    expect(node.configured).toHaveLength(1);
    const epochs = node.asked.flatMap(({ data }) => (typeof data.epoch === 'number' ? [data.epoch] : []));
    expect(epochs).toEqual(epochs.toSorted((a, b) => a - b));
  });
});

test.each([
  ['a bucket', true],
  ['a file', false],
])('one that is killed is started again and goes on from %s, without another one', async (_what, jetstream) => {
  const own = await ProvisioningNetwork.start({ jetstream });
  const started = () => {
    const one = new ProvisionerProcess(own, 'alone', { 'plugin.provisioner.leader_election': false });
    processes.push(one);
    return one;
  };
  try {
    const first = started();
    await until('it leads', () => first.epoch > 0);
    const node = new WaitingNode(await own.connection(), {
      identity: 'n1.example.net',
      token: await own.token(),
      overlay: await own.connection('overlay'),
      answer: async ({ action }) => {
        if (action !== 'restart' || first.hasEnded) return undefined;
        await first.kill();
        return { times: 0, statuscode: 1 };
      },
    });
    await node.start();
    await until('it is killed', () => first.hasEnded);
    const again = started();
    await until('the node restarts', () => node.isRestarting, 30_000);
    await until('it counts', () => again.log.includes('n1.example.net is enrolled'));
    expect(node.actions).toEqual([...actions, 'restart']);
    expect(again.epoch).toBeGreaterThan(first.epoch);
  } finally {
    await own.stop();
  }
});

test('a node that comes back in provisioning mode is enrolled again; one of which that is only said is not', async () => {
  const host = await network.provisioner();
  await until('it leads', async () => (await statusOf(host)).leads);
  let restarts = 0;
  const back = await waiting('back.example.net', {
    restartMs: 2_500,
    onRestart: (node) => {
      restarts += 1;
      if (restarts === 1) void node.start();
      else overlay.publish('choria.lifecycle.event.startup.server', JSON.stringify(startup('back.example.net')));
    },
  });
  const slow = await waiting('slow.example.net', { restartMs: 4_000 });
  await until('it restarts', () => slow.isRestarting);
  await sleep(2_000);
  slow.announce();
  await until('both are up', async () => (await statusOf(host)).counters.up === 2, 30_000);
  expect(back.configured).toHaveLength(2);
  expect(slow.configured).toHaveLength(1);
  expect((await statusOf(host)).errors.map(({ reason }) => reason)).toContainEqual(
    expect.stringContaining('came back in provisioning mode'),
  );
});

test('a rate is kept', async () => {
  const host = await network.provisioner({ 'plugin.provisioner.rate': 5 });
  await until('it leads', async () => (await statusOf(host)).leads);
  const since = performance.now();
  await Promise.all(Array.from({ length: 11 }, (_, index) => waiting(`n${index}.example.net`)));
  await until('all are up', () => up.size === 11);
  expect(performance.now() - since).toBeGreaterThan(1_900);
});

test('kill -9 at random over 200 nodes: all are up, and each was configured once', async () => {
  const names = ['a', 'b', 'c'];
  const running = new Map(names.map((name) => [name, provisioner(name)]));
  await until('one leads', () => [...running.values()].some(({ epoch }) => epoch > 0));
  const all = await Promise.all(Array.from({ length: 200 }, (_, index) => waiting(`n${index}.example.net`, { answer: slowly })));
  for (let round = 0; round < 6; round += 1) {
    await sleep(300 + Math.random() * 1_500);
    const [leader] = [...running.values()].filter(({ hasEnded }) => !hasEnded).sort((one, other) => other.epoch - one.epoch);
    if (!leader) throw new Error('nobody runs');
    await leader.kill();
    running.set(leader.name, provisioner(leader.name));
  }
  await until('all are up', () => up.size === all.length, 150_000);
  expect(all.filter(({ configured }) => configured.length !== 1).map(({ identity }) => identity)).toEqual([]);
});

test('the broker restarts in the middle', async () => {
  const one = provisioner('first');
  await until('it leads', () => one.epoch > 0);
  const all = await Promise.all(Array.from({ length: 60 }, (_, index) => waiting(`n${index}.example.net`, { answer: slowly })));
  await until('some are configured', () => all.filter(({ configured }) => configured.length > 0).length > 5);
  await network.killBroker();
  await sleep(1_500);
  await network.startBroker();
  // What was published meanwhile is lost, as for every node; it shows itself again.
  const announcing = setInterval(() => {
    for (const node of all) if (!up.has(node.identity) && !node.isRestarting) node.announce();
  }, 1_000);
  try {
    await until('all are configured', () => all.every(({ configured }) => configured.length > 0), 150_000);
  } finally {
    clearInterval(announcing);
  }
});

test('without TLS and signatures, where that is asked for', async () => {
  const plain = await NatsServer.start();
  const connection = await connect({ servers: `nats://127.0.0.1:${plain.port}` });
  try {
    const host = await network.provisioner({
      'plugin.choria.middleware_hosts': `127.0.0.1:${plain.port}`,
      'plugin.provisioner.choria_insecure': true,
      'plugin.provisioner.overlay_hosts': '',
    });
    const node = await new WaitingNode(connection, { identity: 'n1.example.net', token: await network.token() }).start();
    await until('it is enrolled', async () => (await statusOf(host)).counters.provisioned === 1);
    expect(node.actions).toEqual([...actions]);
  } finally {
    await connection.close();
    await plain.stop();
  }
});

test('a thousand bogus nodes do not crowd out a real one', async () => {
  const host = await network.provisioner();
  await until('it leads', async () => (await statusOf(host)).leads);
  for (let index = 0; index < 1_000; index += 1)
    new WaitingNode(nodes, { identity: `bogus${index}.example.net`, token: '' }).announce();
  await until('they are known', async () => (await statusOf(host)).counters.seenByEvent >= 1_000, 60_000);
  await waiting('real.example.net');
  await until('it is up', () => up.has('real.example.net'), 60_000);
});

test('a node that vanishes at a step is tried again when it shows itself', async () => {
  const host = await network.provisioner();
  await until('it leads', async () => (await statusOf(host)).leads);
  const gone = new Set<string>(actions);
  const all = await Promise.all(
    actions.map((action) =>
      waiting(`${action}.example.net`, {
        answer: ({ action: asked }) => (asked === action && gone.has(action) ? { times: 0 } : undefined),
      }),
    ),
  );
  // A restart without an answer is looked for on the overlay.
  await until('all but that one failed', async () => (await statusOf(host)).counters.failed >= 4, 200_000);
  gone.clear();
  for (const node of all) node.announce();
  await until('all are up', () => up.size === all.length, 60_000);
});

test("Choria's bucket decides where that is asked for", async () => {
  const operator = await network.connection('provisioner');
  const manager = await jetstreamManager(operator);
  await manager.streams.add({
    name: 'KV_CHORIA_LEADER_ELECTION',
    subjects: ['$KV.CHORIA_LEADER_ELECTION.>'],
    max_msgs_per_subject: 1,
    max_age: 60e9,
  });
  const config = { 'plugin.provisioner.leader_election': true, 'plugin.provisioner.election': 'choria' };
  const first = await network.provisioner(config);
  await until('it leads', async () => (await statusOf(first)).leads);
  const message = await manager.streams.getMessage('KV_CHORIA_LEADER_ELECTION', {
    last_by_subj: '$KV.CHORIA_LEADER_ELECTION.provisioner',
  });
  expect(message?.string()).toBe('prov.test');
  const second = await network.provisioner(config);
  const seq = message?.seq ?? 0;
  await until('the first renewed it twice', async () => {
    const { state } = await manager.streams.info('KV_CHORIA_LEADER_ELECTION');
    return state.last_seq > seq + 2;
  });
  expect((await statusOf(second)).leads).toBe(false);
  await Promise.all([first.stop(), second.stop()]);
});

test('commands: status as JSON, nobody who answers, and a watch', async () => {
  const file = writeConfig(network.folder, 'command.conf', network.config());
  const nobody = await runMuster(['provisioning', 'status', '--timeout', '0.2', '--config', file]);
  expect([nobody.code, nobody.err]).toEqual([1, expect.stringContaining('no provisioner answered within 0.2 s')]);
  const watching = spawn(process.execPath, [main, 'provisioning', 'watch', '--config', file], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let out = '';
  watching.stdout.on('data', (chunk: Buffer) => {
    out += chunk.toString();
  });
  const operator = await network.connection('provisioner');
  // Until it listens.
  await until('it tells of a step', () => {
    operator.publish('choria.provisioning.event.seen', JSON.stringify({ time: 'now', data: { identity: 'test', step: 'seen' } }));
    return out.includes('test  seen');
  });
  const host = await network.provisioner();
  await until('it leads', async () => (await statusOf(host)).leads);
  await waiting('n1.example.net');
  await until('it tells that the node is up', () => /n1\.example\.net {2}up\n/.test(out));
  for (const step of ['seen', 'token', 'csr', 'signed', 'configured']) expect(out).toContain(`n1.example.net  ${step}\n`);
  const ended = new Promise((resolve) => watching.once('exit', resolve));
  watching.kill('SIGINT');
  await ended;
  const { out: status } = await runMuster(['provisioning', 'status', '--json', '--timeout', '20', '--config', file]);
  expect(JSON.parse(status).provisioners).toMatchObject([{ leads: true, paused: false, counters: { up: 1 } }]);
});

describe('a helper', () => {
  const bad: readonly (readonly [string, string, RegExp])[] = [
    ['prints garbage', 'echo hello', /not one JSON object/],
    ['prints half a document', `printf '{"defer": tr'`, /not one JSON object/],
    ['prints nothing', 'true', /nothing on stdout/],
    ['exits with 1', 'echo no room >&2; exit 1', /exited with 1: no room/],
    ['prints 100 MB', 'head -c 100000000 /dev/zero | tr "\\0" x', /more than|not one JSON/],
    ['hangs', 'sleep 60', /did not end within .* s and was killed|was not answered in time/],
  ];
  test.each(bad)('that %s', async (_what, script, reason) => {
    const helper = join(network.folder, 'helper.sh');
    writeFileSync(helper, `#!/bin/sh\ncat > /dev/null\n${script}\n`, { mode: 0o755 });
    const host = await network.provisioner({ 'plugin.provisioner.helper': helper });
    const node = await waiting('n1.example.net');
    const error = await until('it failed', async () => (await statusOf(host)).errors[0], 60_000);
    expect(error.reason).toMatch(reason);
    expect(node.configured).toEqual([]);
    expect((await statusOf(host)).leads).toBe(true);
  });
});

function startup(identity: string) {
  return lifecycleEvent('startup', { identity, component: 'server', now: new Date() });
}

/** As a node that is busy. */
async function slowly(): Promise<undefined> {
  await sleep(20 + Math.random() * 100);
  return undefined;
}
