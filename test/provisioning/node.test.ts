// A node that has nothing but a token, from its first word on the provisioning network to its place in the fleet.

import { createPublicKey, X509Certificate } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readRequest } from '../../plugins/wire/pki/request.ts';
import { Fleet } from '../support/fleet.ts';
import { signFor } from '../support/provisioning.ts';
import { type NodeProcess, ProvisioningNetwork, secret } from '../support/provisioning-network.ts';

/** As far as the umask lets it. */
const folderMode = (0o771 & ~process.umask()).toString(8);
const modeOf = (...path: string[]) => (statSync(join(...path)).mode & 0o777).toString(8);

describe('a node with a token and without a configuration', () => {
  let fleet: Fleet;
  let network: ProvisioningNetwork;
  let node: NodeProcess;
  const name = hostname();
  beforeAll(async () => {
    fleet = await Fleet.start();
    network = await ProvisioningNetwork.start({}, fleet.authority);
    node = network.node().start();
    await network.sees('startup', name);
  });
  afterAll(async () => {
    await network?.stop();
    await fleet?.stop();
  });

  test('hands out its token and a key for keys in transit', async () => {
    const { statuscode, data } = await network.ask(name, 'jwt', { token: secret });
    expect(statuscode).toBe(0);
    expect(data).toEqual({ jwt: network.token, ecdh_public: expect.stringMatching(/^[0-9a-f]{64}$/) });
  });

  test('serves the agents of this mode and no others, and has no data plugins', async () => {
    const { data } = await network.ask(name, 'inventory', {}, {}, 'rpcutil');
    expect(data).toMatchObject({
      agents: ['choria_provision', 'choria_util', 'discovery', 'rpcutil'],
      collectives: ['provisioning'],
      main_collective: 'provisioning',
      data_plugins: [],
      machines: [],
      upgradable: false,
    });
    expect(await network.ask(name, 'load', {}, {}, 'host')).toMatchObject({ statuscode: 2 });
  });

  test('makes a key, a request for a certificate, is configured, and comes up in its fleet', async () => {
    const asked = await network.ask(name, 'gencsr', { token: secret, cn: name, names: ['alias.test'], ou: 'ops', C: 'MT' });
    expect(asked.statuscode).toBe(0);
    const { csr, public_key, ssldir } = asked.data as { csr: string; public_key: string; ssldir: string };
    expect(ssldir).toBe(join(node.folder, 'ssl'));
    const request = readRequest(csr);
    expect(request.subject).toEqual({ CN: name, OU: 'ops', C: 'MT' });
    expect(request.names.dns).toEqual(['alias.test']);
    const pkcs1 = createPublicKey(public_key.replaceAll('PUBLIC KEY', 'RSA PUBLIC KEY'));
    expect(pkcs1.equals(request.publicKey)).toBe(true);
    expect([modeOf(ssldir), modeOf(ssldir, 'private.pem'), modeOf(ssldir, 'csr.pem')]).toEqual([folderMode, '600', '644']);
    expect(readFileSync(join(ssldir, 'private.pem'), 'utf8')).toMatch(/^-----BEGIN RSA PRIVATE KEY-----\n/);

    const { certificate, ca } = signFor(fleet.authority, csr, name);
    const config = {
      identity: name,
      'plugin.choria.server.provision': 'false',
      'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
      'plugin.security.provider': 'file',
      'plugin.security.file.certificate': join(ssldir, 'certificate.pem'),
      'plugin.security.file.key': join(ssldir, 'private.pem'),
      'plugin.security.file.ca': join(ssldir, 'ca.pem'),
    };
    const empty = { key: '', ecdh_public: '', opa_policies: {}, server_jwt: '' };
    const configured = await network.ask(name, 'configure', {
      token: secret,
      config: JSON.stringify(config),
      certificate,
      ca,
      ssldir,
      action_policies: { 'default.policy': 'policy default deny\n' },
      ...empty,
    });
    expect(configured).toMatchObject({ statuscode: 0, data: { message: expect.stringContaining('8 lines') } });
    await network.sees('provisioned', name);
    expect(readFileSync(node.configFile, 'utf8').split('\n')[0]).toMatch(/^# .*choria=provisioner\.mcollective/);
    expect(modeOf(node.configFile)).toBe('600');
    expect([modeOf(ssldir, 'certificate.pem'), modeOf(ssldir, 'ca.pem'), modeOf(ssldir, 'private.pem')]).toEqual([
      '644',
      '644',
      '600',
    ]);
    expect([modeOf(node.folder, 'policies'), modeOf(node.folder, 'policies/default.policy')]).toEqual(['700', '400']);
    expect(readdirSync(node.folder).sort()).toEqual(['bundles', 'policies', 'provisioning.jwt', 'server.conf', 'ssl', 'state']);
    expect(new X509Certificate(certificate).subject).toContain(name);

    const connection = await fleet.connection();
    const startups: unknown[] = [];
    connection.subscribe('choria.lifecycle.event.startup.server', {
      callback: (_e, message) => void startups.push(message.json()),
    });
    await connection.flush();
    const pid = node.pid;
    const restarted = await network.ask(name, 'restart', { token: secret, splay: 1 });
    expect(restarted).toMatchObject({ statuscode: 0, data: { message: 'Restarting in 2s' } });
    await network.sees('shutdown', name);
    await node.logs(/serves .* in mcollective/);
    await expect.poll(() => startups.length, { timeout: 30_000 }).toBe(1);
    expect(startups[0]).toMatchObject({ data: { identity: name, component: 'server' } });
    expect(node.pid).toBe(pid);
    expect(network.events.filter(({ type }) => type === 'shutdown')).toHaveLength(1);
    expect(node.log).not.toContain(secret);
    expect(node.log).not.toContain(network.token);
  });
});
