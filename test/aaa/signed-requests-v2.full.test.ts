// Users of protocol v2 who may not sign for themselves: a delegator signs for them, and nodes know them by their login.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runMuster, writeConfig } from '../support/command.ts';
import { patience } from '../support/discovery.ts';
import { Fleet } from '../support/fleet.ts';
import { temporaryFolder, until } from '../support/folders.ts';
import { SignerService } from '../support/signer-service.ts';
import { clientToken, organizationSeed, publicOf, seedOf, serverToken, tokenConfig } from '../support/tokens.ts';

const { path: folder, remove } = temporaryFolder();
let fleet: Fleet;
let service: SignerService;

/** Token and key of one who connects with a certificate of this name. */
async function credentials(name: string, certname: string, token: string): Promise<Record<string, string>> {
  const files = await fleet.certificate(certname);
  return {
    ...tokenConfig(folder, name, token),
    'plugin.security.choria.certificate': files['plugin.security.file.certificate'] ?? '',
    'plugin.security.choria.key': files['plugin.security.file.key'] ?? '',
    'plugin.security.choria.ca': files['plugin.security.file.ca'] ?? '',
  };
}

beforeAll(async () => {
  fleet = await Fleet.start({ 'plugin.choria.network.stream.store': join(folder, 'streams') });
  const [seed, token] = [join(folder, 'delegator.seed'), join(folder, 'delegator.jwt')];
  writeFileSync(seed, seedOf('up=delegator'));
  writeFileSync(token, await clientToken('up=delegator', { authentication_delegator: true }));
  service = await SignerService.start(fleet.authority, {
    signer: { signing_certificate: publicOf(organizationSeed), signing_seed: seed, signing_token: token, choria_service: true },
    settings: { authorizer: 'actionlist' },
    config: {
      ...(await credentials('aaa.test', 'aaa.test', await serverToken('aaa.test'))),
      'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
    },
  });
  // The service has made the bucket by then.
  await until('revocations are kept', async () => {
    const status = await service.host?.host.call('service', 'aaa', 'service/status', {});
    return (status as { details?: { revocationsCurrent?: boolean } } | undefined)?.details?.revocationsCurrent;
  });
  await fleet.node('n1.test', {
    config: await credentials('n1.test', 'n1.test', await serverToken('n1.test')),
    policies: { rpcutil: ['policy default deny', 'allow\tup=ann_lee\t*\t*\t*'] },
  });
});
afterAll(async () => {
  await service.stop();
  await fleet.stop();
  remove();
});

test.each([
  ['HTTP', () => ({ 'plugin.choria.security.request_signer.url': `http://127.0.0.1:${service.port}/choria/v1/sign` })],
  ['the brokers', () => ({ 'plugin.choria.security.request_signer.service': true })],
])('a delegator signs over %s what the list of the user allows', async (_way, signer) => {
  const token = await clientToken('up=ann.lee', { signed_fleet_management: true }, { agents: ['rpcutil.ping'] });
  const client = await fleet.client('desk.test', { ...(await credentials('up=ann.lee', 'desk.test', token)), ...signer() });
  expect((await client.ask('n1.test', 'rpcutil', 'ping')).statuscode).toBe(0);
  await expect(client.ask('n1.test', 'rpcutil', 'agent_inventory')).rejects.toThrow('the signer refused the request');
});

test('a token that was revoked is dead on nodes as well, though its holder signs for himself', async () => {
  const token = await clientToken('up=carl', { fleet_management: true });
  const config = await credentials('up=carl', 'desk.test', token);
  const carl = await fleet.client('desk.test', config);
  expect(await carl.ask('n1.test', 'rpcutil', 'ping')).toMatchObject({ statuscode: 1 });
  const file = writeConfig(folder, 'client.conf', {
    ...config,
    ...patience,
    'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
  });
  const key = join(folder, 'organization.seed');
  writeFileSync(key, organizationSeed);
  const revoked = await runMuster(['aaa', 'revoke', join(folder, 'up=carl.jwt'), '--config', file, '--signing-key', key]);
  expect(revoked).toMatchObject({ code: 0 });
  const told = () => [...fleet.nodes.values()].flatMap((node) => node.log.map(({ message }) => message)).join('\n');
  await until('the node is silent, and its log says why', async () => {
    const isSilent = await carl.ask('n1.test', 'rpcutil', 'ping', {}, { timeoutMs: 1_000 }).then(
      () => false,
      () => true,
    );
    return isSilent && told().includes('the token of up=carl was revoked');
  });
});
