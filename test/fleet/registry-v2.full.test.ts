// The registry of a fleet of protocol v2: what nodes tell of themselves, signed with the keys of their tokens.

import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { askSource } from '../support/discovery.ts';
import { Fleet } from '../support/fleet.ts';
import { temporaryFolder, until } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';
import { clientToken, serverToken, tokenConfig } from '../support/tokens.ts';

describe.each(['inline', 'persistent'] as const)('%s', (runner) => {
  const { path: folder, remove } = temporaryFolder();
  const inlineAs = runner === 'persistent' ? { inlineAs: runner } : {};
  const hosts: TestHost[] = [];
  let fleet: Fleet;

  /** The connection is that of a certificate, as the broker asks for one. */
  async function configOf(name: string, token: string, certificate = name): Promise<Record<string, string>> {
    const files = await fleet.certificate(certificate);
    const under = (key: string) => files[`plugin.security.file.${key}`] ?? '';
    return {
      ...tokenConfig(folder, name, token),
      'plugin.security.choria.certificate': under('certificate'),
      'plugin.security.choria.key': under('key'),
      'plugin.security.choria.ca': under('ca'),
      'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
    };
  }
  async function start(config: Readonly<Record<string, unknown>>, services: readonly string[] = []): Promise<TestHost> {
    const host = await startHost({ distribution: true, runtime: fleet.runtime, services, config, ...inlineAs });
    hosts.push(host);
    return host;
  }

  beforeAll(async () => {
    fleet = await Fleet.start({ 'plugin.choria.network.stream.store': join(folder, 'streams') });
  });
  afterAll(async () => {
    for (const host of hosts) await host.stop();
    await fleet?.stop();
    remove();
  });

  test('knows what nodes told, and clients find them by it', async () => {
    const registry = await start(
      { ...(await configOf('registry.test', await serverToken('registry.test'))), identity: 'registry.test' },
      ['registry'],
    );
    const status = async () =>
      (await registry.host.call('service', 'registry', 'service/status', {})) as {
        healthy: boolean;
        details: { registrations: number; refused: number };
      };
    await until('the registry has its bucket', async () => (await status()).healthy);
    await fleet.node('web.test', {
      facts: { site: 'oslo' },
      config: {
        ...(await configOf('web.test', await serverToken('web.test'))),
        registration: 'inventory_content',
        registerinterval: 1,
        registration_splay: false,
      },
    });
    await until('the node is registered', async () => (await status()).details.registrations > 0);
    const token = await clientToken('up=anna', { fleet_management: true });
    const client = await start({ ...(await configOf('up=anna', token, 'desk.test')), identity: 'desk.test' });
    await until(
      'it is found',
      async () => (await askSource(client, 'registry', { facts: ['site=oslo'], collective: 'choria' })).nodes.length === 1,
    );
    expect((await status()).details.refused).toBe(0);
  });
});
