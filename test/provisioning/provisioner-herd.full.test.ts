// Twenty thousand nodes at once: all are enrolled, each once, and the provisioner stays small.

import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeRequest } from '../../plugins/wire/pki/request.ts';
import { ProvisioningNetwork } from '../support/enrolling-network.ts';
import { until } from '../support/folders.ts';
import { ProvisionerProcess } from '../support/provisioner-process.ts';
import { sharedKeys, WaitingNode } from '../support/waiting-node.ts';

const count = 20_000;
const connections = 32;
const maxMegabytes = 640;
const minuteMs = 60_000;

let network: ProvisioningNetwork;
let provisioner: ProvisionerProcess;

beforeAll(async () => {
  network = await ProvisioningNetwork.start();
  provisioner = new ProvisionerProcess(network, 'herd', { loglevel: 'info', 'plugin.provisioner.retry_min': '5s' });
  await until('it leads', () => provisioner.epoch > 0);
});
afterAll(async () => {
  await provisioner.kill();
  await network.stop();
});

test(
  'all are up',
  async () => {
    const buses = await Promise.all(Array.from({ length: connections }, () => network.connection()));
    const overlay = await network.connection('overlay');
    const token = await network.token();
    const up = new Set<string>();
    (await network.connection('overlay')).subscribe('choria.lifecycle.event.startup.server', {
      callback: (_error, message) => void up.add(message.json<{ data: { identity: string } }>().data.identity),
    });
    const keys = sharedKeys();
    const all = Array.from({ length: count }, (_, index) => {
      const bus = buses[index % connections];
      if (!bus) throw new Error('there is a connection for each');
      const identity = `n${index}.example.net`;
      return new WaitingNode(bus, {
        identity,
        token,
        overlay,
        answer: ({ action }) =>
          action === 'gencsr'
            ? { data: { csr: makeRequest({ subject: { CN: identity }, ...keys }), ssldir: '/etc/choria/ssl' } }
            : undefined,
      });
    });
    for (const node of all) node.listen();
    for (const node of all) node.announce();
    await until('all are up', () => up.size === count, 14 * minuteMs);
    expect(all.filter(({ configured }) => configured.length !== 1)).toEqual([]);
    expect(provisioner.peakMegabytes).toBeLessThan(maxMegabytes);
  },
  15 * minuteMs,
);
