// Brokers that nobody configured: DNS names them, by SRV records as Choria has them. The name server is a small one of our own.

import { getServers, setServers } from 'node:dns';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { findBrokers, findFederationBrokers } from '../../plugins/wire/brokers.ts';
import { lookUpServices, srvDomain } from '../../plugins/wire/srv.ts';
import { runMuster, writeConfig } from '../support/command.ts';
import { patience } from '../support/discovery.ts';
import { NameServer } from '../support/dns.ts';
import { Fleet } from '../support/fleet.ts';
import { freePort, until } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';

const before = getServers();
const domain = 'example.test';
const here = (port: number) => ({ target: '127.0.0.1', port });
const lookUp = { 'plugin.choria.use_srv': true, 'plugin.choria.srv_domain': domain };
let names: NameServer;

beforeAll(async () => {
  names = await NameServer.start();
  setServers([names.address]);
});
afterEach(() => {
  names.records.clear();
  names.asked.length = 0;
  names.refuses = false;
});
afterAll(async () => {
  setServers(before);
  await names.stop();
});

describe('which brokers there are', () => {
  test.each([
    ['_mcollective-server._tcp', findBrokers],
    ['_x-puppet-mcollective._tcp', findBrokers],
    ['_mcollective-federation_server._tcp', findFederationBrokers],
    ['_x-puppet-mcollective_federation._tcp', findFederationBrokers],
  ])('%s names them, the lowest priority first', async (service, find) => {
    names.records.set(`${service}.${domain}`, [
      { target: 'third.test', port: 3, priority: 20 },
      { target: 'first.test', port: 1, priority: 5 },
      { target: 'second.test', port: 2, priority: 10 },
    ]);
    expect(await find(lookUp, {})).toEqual({
      urls: ['nats://first.test:1', 'nats://second.test:2', 'nats://third.test:3'],
      from: 'DNS',
      ordered: true,
      problems: [],
      asked: expect.any(Number),
    });
  });

  test('the first name that resolves ends the search', async () => {
    names.records.set(`_mcollective-server._tcp.${domain}`, [{ target: 'new.test', port: 1 }]);
    names.records.set(`_x-puppet-mcollective._tcp.${domain}`, [{ target: 'old.test', port: 2 }]);
    expect((await findBrokers(lookUp, {})).urls).toEqual(['nats://new.test:1']);
    expect(names.asked).toEqual([`_mcollective-server._tcp.${domain}`]);
  });

  test('what is configured is used, and DNS is not asked', async () => {
    names.records.set(`_mcollective-server._tcp.${domain}`, [{ target: 'dns.test', port: 1 }]);
    const hosts = ['a.test:4222', 'tls://b.test:4223'];
    const configured = {
      ...lookUp,
      'plugin.choria.middleware_hosts': hosts,
      'plugin.choria.federation_middleware_hosts': hosts,
    };
    for (const find of [findBrokers, findFederationBrokers])
      expect(await find(configured, {})).toMatchObject({ urls: ['nats://a.test:4222', 'tls://b.test:4223'], ordered: false });
    expect(names.asked).toEqual([]);
  });

  test('without records a network has puppet:4222 and a federation nothing', async () => {
    expect(await findBrokers(lookUp, {})).toMatchObject({ urls: ['nats://puppet:4222'], from: 'nowhere', problems: [] });
    expect(await findFederationBrokers(lookUp, {})).toMatchObject({ urls: [], from: 'nowhere' });
    expect(names.asked).toHaveLength(4);
  });

  test('use_srv = false asks nobody', async () => {
    names.records.set(`_mcollective-server._tcp.${domain}`, [{ target: 'dns.test', port: 1 }]);
    const off = { ...lookUp, 'plugin.choria.use_srv': false };
    expect((await findBrokers(off, {})).urls).toEqual(['nats://puppet:4222']);
    expect(names.asked).toEqual([]);
  });

  test('a record of "." says that there is no such service', async () => {
    names.records.set(`_mcollective-server._tcp.${domain}`, [{ target: '.', port: 0 }]);
    expect((await findBrokers(lookUp, {})).urls).toEqual(['nats://puppet:4222']);
  });

  test('a name server that refuses is named as the problem', async () => {
    names.refuses = true;
    const { urls, problems } = await findBrokers(lookUp, {});
    expect(urls).toEqual(['nats://puppet:4222']);
    expect(problems).toEqual([
      'querySrv EREFUSED _mcollective-server._tcp.example.test',
      'querySrv EREFUSED _x-puppet-mcollective._tcp.example.test',
    ]);
  });

  test('among equals a heavy one comes first more often than a light one', async () => {
    const records = [
      { name: 'light', port: 1, priority: 1, weight: 1 },
      { name: 'heavy', port: 2, priority: 1, weight: 3 },
    ];
    // Every tenth of the first lot against every tenth of the second: all pairs once.
    const tenths = [0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95];
    let heavyFirst = 0;
    for (const one of tenths)
      for (const other of tenths) {
        const lots = [one, other];
        const { servers } = await lookUpServices(
          ['s'],
          'd',
          () => Promise.resolve(records),
          () => lots.shift() ?? 0,
        );
        if (servers[0]?.host === 'heavy') heavyFirst += 1;
      }
    expect(heavyFirst).toBeGreaterThan(65);
    expect(heavyFirst).toBeLessThan(85);
  });

  test('the domain is that of the environment, else as configured, else that of the identity', () => {
    const config = { identity: 'n1.of.identity', 'plugin.choria.use_srv': true };
    const both = { ...config, 'plugin.choria.srv_domain': 'configured' };
    expect(srvDomain(both, { CHORIA_SRV_DOMAIN: 'environment' })).toBe('environment');
    expect(srvDomain(both, {})).toBe('configured');
    expect(srvDomain(config, {})).toBe('of.identity');
    expect(srvDomain({ ...config, identity: 'short' }, {})).toBeUndefined();
  });
});

describe('on a real broker', () => {
  let fleet: Fleet;
  const hosts: TestHost[] = [];
  const inDns = { 'plugin.choria.middleware_hosts': undefined, 'plugin.choria.srv_domain': domain };

  beforeAll(async () => {
    fleet = await Fleet.start();
  });
  afterAll(async () => {
    await Promise.all(hosts.map((host) => host.stop()));
    await fleet?.stop();
  });

  test('a node and a client find it and meet', async () => {
    names.records.set(`_mcollective-server._tcp.${domain}`, [here(fleet.port)]);
    await fleet.node('n1.test', { config: inDns });
    const client = await fleet.client('operator.mcollective', inDns);
    const { data } = await client.ask('n1.test', 'choria_util', 'info');
    const urls = [`nats://127.0.0.1:${fleet.port}`];
    expect(data).toMatchObject({ using_srv: true, srv_domain: domain, middleware_servers: urls, connected_server: urls[0] });
  });

  test('the domain is that of the identity if none is configured', async () => {
    names.records.set(`_x-puppet-mcollective._tcp.lab.${domain}`, [here(fleet.port)]);
    const port = await freePort();
    const config = { 'plugin.choria.middleware_hosts': undefined, 'plugin.choria.stats_port': port };
    await fleet.node(`n1.lab.${domain}`, { config });
    expect(names.asked).toEqual([`_mcollective-server._tcp.lab.${domain}`, `_x-puppet-mcollective._tcp.lab.${domain}`]);
    const numbers = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    expect(numbers).toContain(`choria_dns_srv_lookups{identity="n1.lab.${domain}"} 2`);
  });

  test('a node that starts before DNS has its brokers finds them when it has', async () => {
    names.refuses = true;
    const waiting = fleet.node('early.test', { config: inDns });
    waiting.catch(() => undefined);
    await until('it has asked', () => names.asked.length >= 2);
    names.records.set(`_mcollective-server._tcp.${domain}`, [here(fleet.port)]);
    names.refuses = false;
    const node = await waiting;
    expect(node.log.filter(({ message }) => message.startsWith('brokers could not be looked up'))).toMatchObject([
      { message: expect.stringContaining('EREFUSED') },
    ]);
    const client = await fleet.client();
    expect(await client.find({ identities: ['early.test'] })).toEqual(['early.test']);
  });

  test('a broker that moved is found again, by nodes that were connected to where it was', async () => {
    const moving = await Fleet.start({}, fleet.authority);
    try {
      names.records.set(`_mcollective-server._tcp.${domain}`, [here(moving.port)]);
      const node = await moving.node('stays.test', { config: inDns });
      await moving.broker?.stop();
      names.records.set(`_mcollective-server._tcp.${domain}`, [here(fleet.port)]);
      const client = await fleet.client();
      await until('it answers there', async () => (await client.find({ identities: ['stays.test'] })).length === 1);
      expect((await client.ask('stays.test', 'rpcutil', 'ping')).statuscode).toBe(0);
      await node.stop();
    } finally {
      moving.broker = undefined;
      moving.nodes.clear();
      await moving.stop();
    }
  });

  test('a federation broker and its clients find the brokers of the federation, as inside the member network', async () => {
    const member = await Fleet.start({}, fleet.authority);
    try {
      names.records.set(`_mcollective-federation_server._tcp.${domain}`, [here(fleet.port)]);
      names.records.set(`_mcollective-server._tcp.${domain}`, [here(member.port)]);
      const bridge = await startHost({
        distribution: true,
        services: ['federation'],
        config: {
          ...(await fleet.certificate('bridge.test')),
          identity: 'bridge.test',
          'plugin.choria.srv_domain': domain,
          'plugin.choria.federation.cluster': 'oslo',
        },
      });
      hosts.push(bridge);
      await until('it is connected on both sides', async () => {
        const status = (await bridge.host.call('service', 'federation', 'service/status', {})) as { healthy: boolean };
        return status.healthy;
      });
      await member.node('inside.test', { config: inDns });
      const client = await fleet.client('operator.mcollective', { ...inDns, 'plugin.choria.federation.collectives': 'oslo' });
      expect(await client.find()).toEqual(['inside.test']);
    } finally {
      await member.stop();
    }
  });

  describe('the command line', () => {
    const config = async (name: string) =>
      writeConfig(fleet.folder, name, {
        ...(await fleet.certificate('operator.mcollective')),
        identity: 'operator.mcollective',
        ...patience,
      });

    test('finds brokers by the domain of CHORIA_SRV_DOMAIN', async () => {
      names.records.set('_mcollective-server._tcp.from.environment', [here(fleet.port)]);
      const env = { ...names.environment, CHORIA_SRV_DOMAIN: 'from.environment' };
      const { code, out, err } = await runMuster(['ping', '--names', '--config', await config('dns.conf')], env);
      expect([code, err]).toEqual([0, '']);
      expect(out.split('\n')).toContain('n1.test');
    });

    test('takes the lowest priority first, and the next if that is down', async () => {
      const down = await freePort();
      names.records.set('_mcollective-server._tcp.from.environment', [
        { ...here(fleet.port), priority: 2 },
        { ...here(down), priority: 1 },
      ]);
      const env = { ...names.environment, CHORIA_SRV_DOMAIN: 'from.environment' };
      const { code, out } = await runMuster(['ping', '--names', '--config', await config('dns.conf')], env);
      expect(code).toBe(0);
      expect(out.split('\n')).toContain('n1.test');
    });

    test('says that nothing is configured and DNS has none, when puppet is not there either', async () => {
      const env = { ...names.environment, CHORIA_SRV_DOMAIN: 'nothing.here' };
      const { code, err } = await runMuster(['ping', '--config', await config('dns.conf')], env);
      expect(code).toBe(1);
      expect(err).toContain('cannot connect to nats://puppet:4222');
      expect(err).toContain('plugin.choria.middleware_hosts is not set and DNS names no brokers');
    });
  });
});
