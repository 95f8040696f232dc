// A canary stands in every secret, and nothing that comes out anywhere may hold it.

import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { until } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';

const canary = 'canary-7d2f9c';
let fleet: Fleet;
let node: TestHost;
let client: TestClient;

beforeAll(async () => {
  process.env.MUSTER_TEST_TOKEN = canary;
  fleet = await Fleet.start({ 'plugin.choria.network.system.password': canary, 'plugin.choria.network.peer_password': canary });
  node = await fleet.node('quiet.test');
  client = await fleet.client();
});
afterAll(() => fleet.stop());

test('no log line, reply, listing, command line or readable file holds a secret', async () => {
  const outputs: string[] = [];
  for (const item of ['plugin.nats.pass', 'plugin.nats.user', 'plugin.choria.network.system.password'])
    outputs.push(JSON.stringify(await client.ask('quiet.test', 'rpcutil', 'get_config_item', { item })));
  for (const action of ['inventory', 'daemon_stats', 'agent_inventory'])
    outputs.push(JSON.stringify(await client.ask('quiet.test', 'rpcutil', action)));
  outputs.push(JSON.stringify(await client.ask('quiet.test', 'choria_util', 'info')));
  outputs.push(JSON.stringify(await client.ask('quiet.test', 'host', 'processes', { limit: 500 })));
  const broker = fleet.broker as TestHost;
  execFileSync('pkill', ['-9', '-f', `${broker.folder}/plugins/service.broker/state/nats-server.conf`]);
  await until('its end is told', () => broker.log.some(({ message }) => message.startsWith('nats-server ended')));
  await until('the broker was started again', async () => {
    const status = (await broker.host.call('service', 'broker', 'service/status', {})) as { healthy: boolean };
    return status.healthy;
  });
  outputs.push(JSON.stringify([...broker.log, ...node.log]));
  outputs.push(JSON.stringify([broker.host.list(), node.host.list(), broker.host.problems]));
  outputs.push(execFileSync('ps', ['axo', 'args'], { encoding: 'utf8' }));
  const refused = await startHost({
    distribution: true,
    services: ['server'],
    config: {
      ...(await fleet.certificate('node.test')),
      identity: 'refused.test',
      'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
      'plugin.nats.user': 'fleet',
      'plugin.nats.pass': canary,
    },
  });
  await until('the refusal is logged', () =>
    refused.log.some(({ level, message }) => level === 'error' && /authorization/i.test(message)),
  );
  outputs.push(JSON.stringify([refused.log, refused.host.list()]));
  outputs.push(JSON.stringify(await refused.host.call('service', 'server', 'service/status', {})));
  await refused.stop();
  const privateKeys = readdirSync(join(fleet.folder, 'ca')).filter((file) => file.endsWith('.key'));
  const keyLines = privateKeys.map((file) => readFileSync(join(fleet.folder, 'ca', file), 'utf8').split('\n')[5] ?? '');
  expect(keyLines.length).toBeGreaterThan(2);
  for (const output of outputs) for (const secret of [canary, ...keyLines]) expect(output.includes(secret)).toBe(false);
  for (const folder of [fleet.folder, broker.folder, node.folder]) {
    for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
      const path = join(folder, file);
      const stat = statSync(path, { throwIfNoEntry: false });
      if (!stat?.isFile() || (stat.mode & 0o077) === 0) continue;
      const text = readFileSync(path, 'utf8');
      expect([path, text.includes(canary) || keyLines.some((line) => text.includes(line))]).toEqual([path, false]);
    }
  }
});
