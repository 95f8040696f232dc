// The provisioner against nodes that are made by hand as Choria's are, on a real broker.

import { X509Certificate } from 'node:crypto';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Status } from '../../plugins/provisioner/status.ts';
import { ProvisioningNetwork } from '../support/enrolling-network.ts';
import { until } from '../support/folders.ts';
import type { TestHost } from '../support/hosts.ts';
import { WaitingNode } from '../support/waiting-node.ts';

let network: ProvisioningNetwork;
let nodes: NatsConnection;
let provisioner: TestHost;
let overlay: NatsConnection;

beforeAll(async () => {
  network = await ProvisioningNetwork.start();
  nodes = await network.connection();
  overlay = await network.connection('provisioner');
  provisioner = await network.provisioner({ 'plugin.provisioner.overlay_hosts': '' });
});
afterAll(() => network.stop());

async function statusOf(host: TestHost): Promise<Status> {
  const { details } = (await host.host.call('service', 'provisioner', 'service/status', {})) as { details: Status };
  return details;
}

describe('a node that announces itself', () => {
  test('is enrolled step by step and left alone then', async () => {
    const node = await new WaitingNode(nodes, { identity: 'n1.example.net', token: await network.token(), overlay }).start();
    await until('it was restarted', () => node.actions.includes('restart'));
    expect(node.actions).toEqual(['jwt', 'inventory', 'gencsr', 'configure', 'restart']);
    const [configured = {}] = node.configured;
    expect(Object.keys(configured).sort()).toEqual(
      [
        'action_policies',
        'ca',
        'certificate',
        'config',
        'ecdh_public',
        'epoch',
        'key',
        'opa_policies',
        'server_jwt',
        'ssldir',
        'token',
      ].sort(),
    );
    expect(new X509Certificate(String(configured.certificate)).subject).toBe('CN=n1.example.net');
    expect(JSON.parse(String(configured.config))).toMatchObject({
      identity: 'n1.example.net',
      'plugin.choria.server.provision': 'false',
    });
    await until('it counts', async () => (await statusOf(provisioner)).counters.provisioned === 1);
    expect(new Set(node.asked.map(({ sender, caller }) => `${sender} ${caller}`))).toEqual(
      new Set(['prov.test choria=prov.test']),
    );
  });
});
