// A node whose token asks for protocol v2: it is provisioned in it, by what Choria's provisioner sends, and comes up in a fleet of
// protocol v2 with the server token that it got.

import { hostname } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { makeServerToken } from '../../plugins/wire/tokens/server.ts';
import { Fleet } from '../support/fleet.ts';
import { freePort, temporaryFolder, until } from '../support/folders.ts';
import { goProgram } from '../support/provisioning.ts';
import { type NodeProcess, ProvisioningNetwork, secret } from '../support/provisioning-network.ts';
import { clientToken, organizationSeed, publicOf, signingKey, tokenConfig } from '../support/tokens.ts';

const { path: folder, remove } = temporaryFolder();
const name = hostname();
let fleet: Fleet;
let network: ProvisioningNetwork;
let node: NodeProcess;
let port: number;

beforeAll(async () => {
  vi.stubEnv('NATS_SERVER', await goProgram('nats-server'));
  port = await freePort();
  fleet = await Fleet.start({
    'plugin.muster.broker.token_port': port,
    'plugin.security.issuer.names': 'choria',
    'plugin.security.issuer.choria.public': publicOf(organizationSeed),
  });
  network = await ProvisioningNetwork.start({ v2: true }, fleet.authority);
  node = network.node().start();
  await network.sees('startup', name);
}, 200_000);
afterAll(async () => {
  await network?.stop();
  await fleet?.stop();
  vi.unstubAllEnvs();
  remove();
});

test('is provisioned in protocol v2, and answers in its fleet', async () => {
  expect(await network.ask(name, 'jwt', { token: secret })).toMatchObject({ statuscode: 0, data: { jwt: network.token } });
  const { data } = await network.ask(name, 'gen25519', { token: secret, nonce: '0f'.repeat(16) });
  const { public_key: publicKey, directory } = data as { public_key: string; directory: string };
  const token = await makeServerToken(
    { identity: name, publicKey, collectives: ['choria'], validitySeconds: 86_400 },
    { key: signingKey(organizationSeed) },
  );
  const shared = {
    'plugin.choria.middleware_hosts': `localhost:${port}`,
    'plugin.security.provider': 'choria',
    'plugin.security.choria.ca': join(fleet.folder, 'ca/ca.pem'),
    'plugin.security.issuer.names': 'choria',
    'plugin.security.issuer.choria.public': publicOf(organizationSeed),
  };
  const config = {
    ...shared,
    identity: name,
    'plugin.choria.server.provision': 'false',
    'plugin.security.choria.token_file': join(directory, 'server.jwt'),
    'plugin.security.choria.seed_file': join(directory, 'server.seed'),
  };
  const empty = { key: '', certificate: '', ca: '', ssldir: '', ecdh_public: '', opa_policies: {} };
  const configured = await network.ask(name, 'configure', {
    ...{ token: secret, config: JSON.stringify(config), server_jwt: token, action_policies: {} },
    ...empty,
  });
  expect(configured).toMatchObject({ statuscode: 0 });
  await network.ask(name, 'restart', { token: secret, splay: 1 });
  const anna = tokenConfig(folder, 'up=anna', await clientToken('up=anna', { fleet_management: true }));
  const client = await fleet.client('jump.test', { ...anna, ...shared });
  await until('it answers in its fleet', async () => (await client.fleet.ping({ timeoutMs: 500 })).answers.length === 1);
  expect(node.folder).toBe(directory);
});
