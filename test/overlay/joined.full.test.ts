// Overlays that are joined by leaf nodes or gateways: a request crosses the link, each side works alone without it, and
// together again when it is back. The configurations are the samples, with other ports.

import { connect, createServer, type Server, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { jetstreamManager } from '@nats-io/jetstream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readConfigFile } from '../../core/config/dialect.ts';
import { readLinks } from '../../plugins/broker/links.ts';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { freePort, temporaryFolder, until } from '../support/folders.ts';

const prefix = 'plugin.choria.network';

/** What a sample says about links. */
function sample(name: string, changes: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const { entries } = readConfigFile(fileURLToPath(new URL(`../../fixtures/overlays/${name}.conf`, import.meta.url)), {});
  const values = Object.fromEntries(entries.map(({ key, value }) => [key, value]));
  const links = Object.entries(values).filter(([key]) => /\.(leafnode|gateway)_/.test(key));
  for (const key of Object.keys(changes))
    if (!(key in values) && !key.endsWith('stream.store')) throw new Error(`${name} has no ${key}`);
  return { ...Object.fromEntries(links), identity: values.identity, ...changes };
}

/** A wire between two brokers that can be cut. */
class Wire {
  readonly #target: number;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  port = 0;

  constructor(target: number) {
    this.#target = target;
  }

  async join(): Promise<void> {
    this.port ||= await freePort();
    const server = createServer((near) => {
      const far = connect(this.#target, '127.0.0.1');
      for (const [from, to] of [
        [near, far],
        [far, near],
      ] as const) {
        this.#sockets.add(from);
        from.pipe(to);
        from.on('error', () => to.destroy());
        from.on('close', () => to.destroy());
      }
    });
    this.#server = server;
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
  }

  cut(): void {
    this.#server?.close();
    for (const socket of this.#sockets) socket.destroy();
    this.#sockets.clear();
  }
}

const sees = async (who: string, client: TestClient, names: readonly string[]) => {
  let seen: string[] = [];
  await until(
    `${who} sees ${names.join(', ')}`,
    async () => {
      seen = await client.find({}, 1_500);
      return seen.join() === names.join();
    },
    60_000,
  ).catch((error: Error) => {
    throw new Error(`${error.message}; it sees ${seen.join(', ') || 'nobody'}`);
  });
};

describe('leaf nodes', () => {
  let centre: Fleet;
  let edge: Fleet;
  let wire: Wire;
  let atCentre: TestClient;
  let atEdge: TestClient;
  const stores = [temporaryFolder(), temporaryFolder()];

  beforeAll(async () => {
    const [centreStore, edgeStore] = stores.map(({ path }) => path);
    const leafPort = await freePort();
    const port = { [`${prefix}.leafnode_port`]: leafPort, [`${prefix}.stream.store`]: centreStore };
    centre = await Fleet.start(sample('leafnodes/centre', port));
    wire = new Wire(leafPort);
    await wire.join();
    const url = { [`${prefix}.leafnode_remote.centre.url`]: `127.0.0.1:${wire.port}`, [`${prefix}.stream.store`]: edgeStore };
    edge = await Fleet.start(sample('leafnodes/edge', url), centre.authority);
    await Promise.all([centre.node('c1.test'), edge.node('e1.test')]);
    atCentre = await centre.client();
    atEdge = await edge.client();
  });
  afterAll(async () => {
    await edge?.stop();
    wire?.cut();
    await centre?.stop();
    for (const { remove } of stores) remove();
  });

  test('a request crosses the link both ways', async () => {
    await sees('the centre', atCentre, ['c1.test', 'e1.test']);
    await sees('the edge', atEdge, ['c1.test', 'e1.test']);
    expect(await atCentre.ask('e1.test', 'rpcutil', 'ping')).toMatchObject({ statuscode: 0 });
    expect(await atEdge.ask('c1.test', 'rpcutil', 'ping')).toMatchObject({ statuscode: 0 });
  });

  test('a stream of one overlay is none of the other', async () => {
    const [centreStreams, edgeStreams] = await Promise.all(
      [centre, edge].map(async (fleet) => jetstreamManager(await fleet.connection())),
    );
    await edgeStreams?.streams.add({ name: 'EDGE', subjects: ['only.edge'] });
    expect(await edgeStreams?.streams.names().next()).toEqual(['EDGE']);
    expect(await centreStreams?.streams.names().next()).toEqual([]);
  });

  test('when the link is cut each side works alone, and both together when it is back', async () => {
    wire.cut();
    await sees('the centre', atCentre, ['c1.test']);
    await sees('the edge', atEdge, ['e1.test']);
    await wire.join();
    await sees('the centre', atCentre, ['c1.test', 'e1.test']);
    await sees('the edge', atEdge, ['c1.test', 'e1.test']);
  });

  test('the edge outlives the broker of the centre', async () => {
    await centre.broker?.stop();
    await sees('the edge', atEdge, ['e1.test']);
    await centre.startBroker();
    await sees('the edge', atEdge, ['c1.test', 'e1.test']);
    await sees('the centre', atCentre, ['c1.test', 'e1.test']);
  });
});

describe('gateways', () => {
  let london: Fleet;
  let oslo: Fleet;
  let inLondon: TestClient;
  let inOslo: TestClient;

  beforeAll(async () => {
    const [londonPort, osloPort] = [await freePort(), await freePort()];
    const ports = (name: string, own: number, other: number) => ({
      [`${prefix}.gateway_port`]: own,
      [`${prefix}.gateway_remote.${name}.urls`]: `127.0.0.1:${other}`,
    });
    london = await Fleet.start(sample('gateways/london', ports('oslo', londonPort, osloPort)));
    oslo = await Fleet.start(sample('gateways/oslo', ports('london', osloPort, londonPort)), london.authority);
    await Promise.all([london.node('l1.test'), oslo.node('o1.test')]);
    inLondon = await london.client();
    inOslo = await oslo.client();
  });
  afterAll(async () => {
    await oslo?.stop();
    await london?.stop();
  });

  test('a request crosses the link both ways', async () => {
    await sees('london', inLondon, ['l1.test', 'o1.test']);
    await sees('oslo', inOslo, ['l1.test', 'o1.test']);
    expect(await inLondon.ask('o1.test', 'rpcutil', 'ping')).toMatchObject({ statuscode: 0 });
    expect(await inOslo.ask('l1.test', 'rpcutil', 'ping')).toMatchObject({ statuscode: 0 });
  });

  test('one overlay outlives the broker of the other, and sees it again when it is back', async () => {
    await oslo.broker?.stop();
    await sees('london', inLondon, ['l1.test']);
    expect(await inLondon.ask('l1.test', 'rpcutil', 'ping')).toMatchObject({ statuscode: 0 });
    await oslo.startBroker();
    await sees('london', inLondon, ['l1.test', 'o1.test']);
    await sees('oslo', inOslo, ['l1.test', 'o1.test']);
  });
});

test('a single broker with gateways and a store for streams does not start, and says what to do', async () => {
  const { path, remove } = temporaryFolder();
  const config = { [`${prefix}.gateway_port`]: await freePort(), [`${prefix}.stream.store`]: path };
  await expect(Fleet.start(sample('gateways/london', config))).rejects.toThrow(
    'a single broker can not keep streams beside gateways; join by leaf nodes',
  );
  remove();
});

describe('links that can not be', () => {
  const files = { cert: 'c', key: 'k', ca: 'a' };
  test.each([
    ['a remote without an address', { leafnode_remotes: ['a'] }, 'set plugin.choria.network.leafnode_remote.a.url'],
    ['a remote with a dot in its name', { leafnode_remotes: ['a.b'] }, "'a.b' in plugin.choria.network.leafnode_remotes"],
    [
      'half of the TLS files',
      { gateway_port: 1, gateway_remotes: ['a'], 'gateway_remote.a.urls': 'a:1', 'gateway_remote.a.tls.cert': 'x' },
      'needs all of plugin.choria.network.gateway_remote.a.tls.cert, .key and .ca',
    ],
    [
      'gateways without a port',
      { gateway_remotes: ['a'], 'gateway_remote.a.urls': 'a:1' },
      'set plugin.choria.network.gateway_port',
    ],
  ])('%s: the error names the key', (_what, keys, message) => {
    const config = Object.fromEntries(Object.entries(keys).map(([key, value]) => [`${prefix}.${key}`, value]));
    expect(() => readLinks(config, files)).toThrow(message);
  });

  test('TLS of a remote is the broker’s own unless it has files, and may be off or unverified', () => {
    const config = {
      [`${prefix}.leafnode_remotes`]: ['own', 'files', 'off', 'lax'],
      ...Object.fromEntries(
        ['own', 'files', 'off', 'lax'].map((name) => [`${prefix}.leafnode_remote.${name}.url`, 'h:1, ws://h:2']),
      ),
      [`${prefix}.leafnode_remote.files.tls.cert`]: 'C',
      [`${prefix}.leafnode_remote.files.tls.key`]: 'K',
      [`${prefix}.leafnode_remote.files.tls.ca`]: 'A',
      [`${prefix}.leafnode_remote.off.tls.disable`]: 'true',
      [`${prefix}.leafnode_remote.lax.tls.verify`]: 'no',
    };
    const remotes = readLinks(config, files).leafnodes?.remotes ?? [];
    expect(remotes.map(({ name, urls, account, tls }) => [name, urls, account, tls])).toEqual([
      ['own', ['nats-leaf://h:1', 'ws://h:2'], 'choria', { ...files, verify: true }],
      ['files', ['nats-leaf://h:1', 'ws://h:2'], 'choria', { cert: 'C', key: 'K', ca: 'A', verify: true }],
      ['off', ['nats-leaf://h:1', 'ws://h:2'], 'choria', undefined],
      ['lax', ['nats-leaf://h:1', 'ws://h:2'], 'choria', { ...files, verify: false }],
    ]);
  });
});
