// A node that serves and goes back into provisioning: nobody there, somebody there, and a certificate that ends.

import { X509Certificate } from 'node:crypto';
import { readFileSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, test } from 'vitest';
import { readRequest } from '../../plugins/wire/pki/request.ts';
import { Fleet } from '../support/fleet.ts';
import { until } from '../support/folders.ts';
import { signFor } from '../support/provisioning.ts';
import { type NodeProcess, ProvisioningNetwork, secret } from '../support/provisioning-network.ts';

const open: { stop(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one.stop();
});

async function start(): Promise<{ fleet: Fleet; network: ProvisioningNetwork }> {
  const fleet = await Fleet.start();
  open.push(fleet);
  const network = await ProvisioningNetwork.start({}, fleet.authority);
  open.push(network);
  return { fleet, network };
}

/** What a provisioner does with a node, from its request to its restart. */
async function enrol(
  { fleet, network }: { fleet: Fleet; network: ProvisioningNetwork },
  node: NodeProcess,
  settings: Readonly<Record<string, string>> = {},
  { days = 30, old = false } = {},
): Promise<void> {
  const { identity: name } = node;
  const { data } = await network.ask(name, 'gencsr', { token: secret, cn: name });
  const { csr, ssldir } = data as { csr: string; ssldir: string };
  const config = {
    identity: name,
    'plugin.choria.server.provision': 'false',
    'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
    'plugin.security.provider': 'file',
    'plugin.security.file.certificate': join(ssldir, 'certificate.pem'),
    'plugin.security.file.key': join(ssldir, 'private.pem'),
    'plugin.security.file.ca': join(ssldir, 'ca.pem'),
    rpcauthorization: 'no',
    ...settings,
  };
  const signed = signFor(fleet.authority, csr, name, { days });
  const asked = { token: secret, config: JSON.stringify(config), ...signed, ssldir };
  expect(await network.ask(name, 'configure', asked)).toMatchObject({ statuscode: 0 });
  if (old) utimesSync(join(ssldir, 'certificate.pem'), 0, 0);
  expect(await network.ask(name, 'restart', { token: secret, splay: 1 })).toMatchObject({ statuscode: 0 });
}

const serial = (node: NodeProcess) => new X509Certificate(readFileSync(join(node.folder, 'ssl/certificate.pem'))).serialNumber;
/** How often it has come up in its fleet. */
const served = (node: NodeProcess) => node.log.split(/serves [^"]* in mcollective/).length - 1;
const minimal = 'identity = renewed.test\nplugin.choria.server.provision = true\n';

test('a node that is sent back goes to its fleet again if nobody comes, and is enrolled anew if somebody does', async () => {
  const parts = await start();
  const { fleet, network } = parts;
  const node = network.node({ config: minimal }, 'renewed.test').start();
  await network.sees('startup', node.identity);
  const audit = join(node.folder, 'audit.log');
  await enrol(parts, node, {
    // In it the node answers, and makes a key, on a busy machine as well.
    'plugin.muster.provisioning.renew_timeout': '12s',
    'plugin.muster.provisioning.restart_delay': '10',
    rpcaudit: 'yes',
    'plugin.rpcaudit.logfile': audit,
  });
  await until('it serves', () => served(node) === 1);
  const [before, key] = [readFileSync(node.configFile, 'utf8'), readFileSync(join(node.folder, 'ssl/private.pem'), 'utf8')];
  const old = serial(node);
  const client = await fleet.client();

  expect(await client.ask(node.identity, 'choria_provision', 'gencsr', { token: secret })).toMatchObject({ statuscode: 1 });
  const refused = await client.ask(node.identity, 'choria_provision', 'reprovision', { token: 'wrong' });
  expect(refused).toMatchObject({ statuscode: 1, statusmsg: expect.stringContaining('token') });
  expect(await client.ask(node.identity, 'choria_provision', 'reprovision', { token: secret })).toMatchObject({ statuscode: 0 });
  await network.sees('startup', node.identity, 'provision_mode_server', 2);
  expect(readFileSync(audit, 'utf8')).toMatch(/"action":"reprovision".*"token":"\(masked\)"/);
  expect(readFileSync(audit, 'utf8')).not.toContain(secret);
  // Somebody begins and does not finish.
  await network.ask(node.identity, 'gencsr', { token: secret, cn: node.identity });
  await until('it serves again', () => served(node) === 2, 60_000);
  expect(readFileSync(node.configFile, 'utf8')).toBe(before);
  expect(readFileSync(join(node.folder, 'ssl/private.pem'), 'utf8')).toBe(key);
  expect(serial(node)).toBe(old);

  expect(await client.ask(node.identity, 'choria_provision', 'reprovision', { token: secret })).toMatchObject({ statuscode: 0 });
  await network.sees('startup', node.identity, 'provision_mode_server', 3);
  await enrol(parts, node);
  await until('it serves a third time', () => served(node) === 3);
  expect(serial(node)).not.toBe(old);
  expect(await client.ask(node.identity, 'rpcutil', 'ping')).toMatchObject({ statuscode: 0 });
});

test('a node whose certificate is near its end renews it by itself, under its name', async () => {
  const parts = await start();
  const { network, fleet } = parts;
  const node = network.node({ config: minimal }, 'renewed.test').start();
  await network.sees('startup', node.identity);
  const watcher = await fleet.connection();
  const renewing: unknown[] = [];
  watcher.subscribe('choria.lifecycle.event.renewing.server', { callback: (_e, message) => void renewing.push(message.json()) });
  await watcher.flush();
  // Half an hour of a life of an hour and a half.
  await enrol(parts, node, { 'plugin.muster.provisioning.renew_at': '0.01' }, { days: 0.02, old: true });
  await until('it serves', () => served(node) === 1);
  const old = serial(node);
  await network.sees('startup', node.identity, 'provision_mode_server', 2);
  await until('it told its fleet', () => renewing.length > 0);
  expect(renewing).toEqual([expect.objectContaining({ data: expect.objectContaining({ identity: node.identity }) })]);
  expect(serial(node)).toBe(old);
  await enrol(parts, node);
  await until('it serves again', () => served(node) === 2);
  expect(serial(node)).not.toBe(old);
});

test('a node that was configured and is not told to restart does so by itself', async () => {
  const parts = await start();
  const { network, fleet } = parts;
  const node = network.node({ config: `${minimal}plugin.muster.provisioning.renew_timeout = 1s\n` }, 'renewed.test').start();
  await network.sees('startup', node.identity);
  const { data } = await network.ask(node.identity, 'gencsr', { token: secret });
  const { csr, ssldir } = data as { csr: string; ssldir: string };
  expect(readRequest(csr).subject).toEqual({ CN: node.identity });
  const file = (name: string) => join(ssldir, name);
  const config = {
    identity: node.identity,
    'plugin.choria.server.provision': 'false',
    'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
    'plugin.security.provider': 'file',
    'plugin.security.file.certificate': file('certificate.pem'),
    'plugin.security.file.key': file('private.pem'),
    'plugin.security.file.ca': file('ca.pem'),
  };
  const signed = signFor(fleet.authority, csr, node.identity);
  await network.ask(node.identity, 'configure', { token: secret, config: JSON.stringify(config), ...signed, ssldir });
  await until('it serves', () => served(node) === 1);
});

test('a node that is ended in the middle of it is enrolled after all', async () => {
  const parts = await start();
  const { network } = parts;
  for (const round of [0, 1, 2, 3, 4, 5]) {
    const node = network.node({ config: minimal.replace('renewed', `killed-${round}`) }, `killed-${round}.test`).start();
    await network.sees('startup', node.identity);
    const enrolment = enrol(parts, node).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 50 + round * 40));
    await node.kill();
    await Promise.race([enrolment, new Promise((resolve) => setTimeout(resolve, 200))]);
    node.start();
    await until(
      'it is one or the other',
      () =>
        served(node) > 0 ||
        network.events.filter(({ identity, type }) => identity === node.identity && type === 'startup').length > 1,
    );
    if (served(node) === 0) await enrol(parts, node);
    await until('it serves', () => served(node) > 0);
  }
}, 600_000);

test('a node that is shut down ends well, and tells it once', async () => {
  const { network } = await start();
  const node = network.node({ config: `${minimal}plugin.muster.provisioning.restart_delay = 10\n` }, 'renewed.test').start();
  await network.sees('startup', node.identity);
  const { statuscode, data } = await network.ask(node.identity, 'shutdown', { token: secret });
  expect([statuscode, data]).toEqual([0, { message: expect.stringMatching(/^Shutting down in \ds$/) }]);
  expect(await node.ended()).toBe(0);
  await network.sees('shutdown', node.identity);
  expect(network.events.filter(({ type }) => type === 'shutdown')).toHaveLength(1);
});
