// What monitoring sees: numbers for Prometheus, the status file and its check, a log level that is changed while a node runs.

import { spawn } from 'node:child_process';
import { readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { embed } from '../../core/host/embed.ts';
import { clientNeeds, FleetClient } from '../../plugins/fleet-client/client.ts';
import { runMuster, writeConfig } from '../support/command.ts';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { freePort, temporaryFolder, until } from '../support/folders.ts';
import { startHost } from '../support/hosts.ts';
import { Crafter } from '../support/messages.ts';

/** Values by series, and types by metric, as Prometheus reads them. */
async function scrape(port: number, path = '/metrics') {
  const response = await fetch(`http://127.0.0.1:${port}${path}`);
  const values: Record<string, number> = {};
  const types: Record<string, string> = {};
  for (const line of (await response.text()).split('\n').filter((text) => text !== '')) {
    const [, name = '', type = ''] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
    if (name) types[name] = type;
    if (line.startsWith('#')) continue;
    const [, series = '', value] = /^([a-zA-Z_:][\w:]*(?:\{[^}]*\})?) (\S+)$/.exec(line) ?? [];
    expect(series, `a line that is no sample: ${line}`).not.toBe('');
    values[series] = Number(value);
  }
  return { values, types, contentType: response.headers.get('content-type') };
}

let fleet: Fleet;
let client: TestClient;
const ports = { node: 0, broker: 0, client: 0, federation: 0 };
const { path: folder, remove } = temporaryFolder();
const statusFile = join(folder, 'status.json');

beforeAll(async () => {
  for (const name of ['node', 'broker', 'client', 'federation'] as const) ports[name] = await freePort();
  fleet = await Fleet.start({
    'plugin.choria.stats_port': ports.broker,
    'plugin.choria.network.stream.store': join(folder, 'store'),
  });
  await fleet.node('n1.test', {
    facts: { site: 'oslo' },
    config: {
      'plugin.choria.stats_port': ports.node,
      'plugin.choria.status_file_path': statusFile,
      'plugin.choria.status_update_interval': 1,
    },
  });
  client = await fleet.client();
});
afterAll(async () => {
  await fleet.stop();
  remove();
});

describe('numbers for Prometheus', () => {
  test('a node counts messages under Choria’s names, and its plugins', async () => {
    const before = await scrape(ports.node);
    const { data } = await client.ask('n1.test', 'rpcutil', 'ping');
    await client.ask('n1.test', 'uptime', 'show');
    await client.find({ facts: ['site=nowhere'] }, 300);
    // Answers arrive before they are counted, and the one that is not for this node is waited for by nobody.
    const { values, types, contentType } = await until('all is counted', async () => {
      const now = await scrape(ports.node);
      const more = (name: string) => {
        const series = `choria_server_${name}{identity="n1.test"}`;
        return (now.values[series] ?? 0) - (before.values[series] ?? 0);
      };
      return more('filtered') >= 1 && more('replies') >= 2 ? now : undefined;
    });
    const grown = (name: string) => (values[name] ?? 0) - (before.values[name] ?? 0);
    expect(data).toMatchObject({ pong: expect.any(Number) });
    expect(contentType).toContain('version=0.0.4');
    expect(types).toMatchObject({ choria_server_total: 'counter', muster_plugin_calls_in_flight: 'gauge' });
    const ends = (await scrape(ports.node)).values['muster_node_certificate_expires{identity="n1.test"}'] ?? 0;
    expect(ends).toBeGreaterThan(Date.now() / 1000);
    expect(
      ['total', 'validated', 'unvalidated', 'passed', 'filtered', 'replies'].map((name) =>
        grown(`choria_server_${name}{identity="n1.test"}`),
      ),
    ).toEqual([3, 3, 0, 2, 1, 2]);
    expect(grown('muster_plugin_calls_total{plugin="agent/uptime"}')).toBe(1);
    expect(values.process_resident_memory_bytes).toBeGreaterThan(10_000_000);
    expect(Object.keys(values).find((series) => series.startsWith('choria_build_info{'))).toContain('identity="n1.test"');
  });

  test('a node counts what came of reading messages, and what its connection went through', async () => {
    const port = await freePort();
    const node = await fleet.node('attacked.test', { config: { 'plugin.choria.stats_port': port } });
    const nats = await fleet.connection();
    const crafter = await Crafter.of(fleet.authority, 'operator.mcollective');
    const subject = 'mcollective.node.attacked.test';
    nats.publish(subject, 'no json');
    nats.publish(subject, crafter.request({ tamper: (text) => text.replace('rpcutil', 'rpcutiI') }).payload);
    nats.publish(subject, (await Crafter.of(fleet.authority, 'somebody.test')).request().payload);
    await nats.flush();
    await client.ask('attacked.test', 'rpcutil', 'ping');
    const counted = (name: string, values: Readonly<Record<string, number>>) => values[`choria_protocol_${name}{version="1"}`];
    const { values, types } = await until('each is counted', async () => {
      const now = await scrape(port);
      const all = ['valid', 'invalid', 'error'].reduce((sum, name) => sum + (counted(name, now.values) ?? 0), 0);
      return all >= 4 ? now : undefined;
    });
    const protocol = (name: string) => counted(name, values);
    expect(['valid', 'invalid', 'error', 'json_parse_failures'].map(protocol)).toEqual([1, 1, 2, 1]);
    const connector = (name: string) => values[`choria_connector_${name}{identity="attacked.test"}`];
    expect(
      ['initial_connection_attempts', 'initial_connect_time_count', 'reconnections', 'connection_closed', 'errors'].map(
        connector,
      ),
    ).toEqual([1, 1, 0, 0, 0]);
    expect(connector('initial_connect_time_sum')).toBeGreaterThan(0);
    expect(types).toMatchObject({ choria_protocol_valid: 'counter', choria_connector_initial_connect_time_sum: 'counter' });
    await node.stop();
  });

  test('Choria’s paths show the same; another one is not there; only GET is answered', async () => {
    for (const path of ['/choria/prometheus', '/choria/metrics'])
      expect((await scrape(ports.node, path)).values).toHaveProperty('choria_server_total{identity="n1.test"}');
    expect(await (await fetch(`http://127.0.0.1:${ports.node}/choria/`)).json()).toMatchObject({
      identity: 'n1.test',
      build: { version: expect.any(String) },
      system: { cpu_cores: expect.any(Number) },
    });
    expect((await fetch(`http://127.0.0.1:${ports.node}/etc/passwd`)).status).toBe(404);
    expect((await fetch(`http://127.0.0.1:${ports.node}/metrics`, { method: 'POST', body: 'x' })).status).toBe(405);
  });

  test('a broker shows those of nats-server, streams among them', async () => {
    const { values, types } = await scrape(ports.broker);
    expect(values['choria_network_connections{identity="broker.test"}']).toBeGreaterThanOrEqual(2);
    expect(values['choria_network_in_msgs{identity="broker.test"}']).toBeGreaterThan(0);
    expect(values['choria_network_stream_streams{identity="broker.test"}']).toBe(0);
    expect(types).toMatchObject({ choria_network_connections: 'gauge', choria_network_stream_filestore_max: 'gauge' });
  });

  test('a program with a client shows its own', async () => {
    await using embedded = await embed({
      runtime: fleet.runtime,
      needs: clientNeeds,
      config: {
        ...(await fleet.certificate('operator.mcollective')),
        identity: 'operator.mcollective',
        'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
        'plugin.choria.stats_port': ports.client,
      },
    });
    const program = new FleetClient(embedded.host);
    await program.ping({ expect: 1, timeoutMs: 20_000 });
    const { values } = await scrape(ports.client);
    expect(values['muster_client_requests_total{identity="operator.mcollective"}']).toBe(1);
    expect(values['muster_client_replies_total{identity="operator.mcollective"}']).toBe(1);
    expect(values['choria_connector_initial_connection_attempts{identity="operator.mcollective"}']).toBe(1);
  });

  test('a federation broker counts what each worker passed on and refused', async () => {
    const hosts = `127.0.0.1:${fleet.port}`;
    const bridge = await startHost({
      distribution: true,
      services: ['federation'],
      runtime: fleet.runtime,
      config: {
        ...(await fleet.certificate('bridge.test')),
        identity: 'bridge.test',
        'plugin.choria.federation.cluster': 'here',
        'plugin.choria.federation_middleware_hosts': hosts,
        'plugin.choria.middleware_hosts': hosts,
        'plugin.choria.stats_port': ports.federation,
      },
    });
    const through = await fleet.client('operator.mcollective', {
      'plugin.choria.federation.collectives': 'here',
      'plugin.choria.federation_middleware_hosts': hosts,
    });
    await until('it answers', async () => (await through.find({}, 1_000)).length > 0);
    let values: Readonly<Record<string, number>> = {};
    const sum = (name: string, side: string) =>
      Object.entries(values)
        .filter(([series]) => series.startsWith(`${name}{`) && series.includes(`connected_to="${side}"`))
        .reduce((total, [, value]) => total + value, 0);
    await until('what came was passed on', async () => {
      ({ values } = await scrape(ports.federation));
      return sum('choria_federation_time_count', 'federation') === sum('choria_federation_received_msgs', 'federation');
    });
    expect(sum('choria_federation_received_msgs', 'federation')).toBeGreaterThan(0);
    expect(sum('choria_federation_published_msgs', 'collective')).toBeGreaterThan(0);
    expect(sum('choria_federation_errors', 'federation')).toBe(0);
    expect(sum('choria_federation_time_count', 'federation')).toBe(sum('choria_federation_received_msgs', 'federation'));
    expect(sum('choria_federation_time_sum', 'federation')).toBeGreaterThan(0);
    for (const side of ['federation', 'collective']) expect(sum('choria_connector_initial_connection_attempts', side)).toBe(1);
    await bridge.stop();
  });

  test('a node whose plugins are processes of their own shows the same', async () => {
    const port = await freePort();
    const node = await fleet.node('apart.test', { config: { 'plugin.choria.stats_port': port }, inlineAs: 'persistent' });
    await client.ask('apart.test', 'rpcutil', 'ping');
    const values = await until('the answer is counted', async () => {
      const now = (await scrape(port)).values;
      return now['choria_server_replies{identity="apart.test"}'] ? now : undefined;
    });
    expect(values['choria_server_replies{identity="apart.test"}']).toBe(1);
    expect(values['muster_plugin_calls_total{plugin="security/x509"}']).toBeGreaterThan(0);
    await node.stop();
  });

  test('without a port nothing listens, and a port that is taken is used once it is free', async () => {
    const port = await freePort();
    const squatter = createServer((_request, response) => response.end('mine'));
    await new Promise<void>((resolve) => squatter.listen(port, '127.0.0.1', resolve));
    const node = await fleet.node('late.test', { config: { 'plugin.choria.stats_port': port } });
    const refused = () => node.log.filter(({ message }) => message.includes('choose another plugin.choria.stats_port'));
    await until('it is told', () => refused().length > 0);
    squatter.closeAllConnections();
    await new Promise((resolve) => squatter.close(resolve));
    await until(
      'the numbers are there',
      async () => (await scrape(port).catch(() => undefined))?.values.process_cpu_seconds_total,
    );
    expect(refused()).toHaveLength(1);
    await node.stop();
    const silent = await fleet.node('silent.test');
    expect(silent.host.list('exporter')).toContainEqual(expect.objectContaining({ name: 'prometheus', state: 'off' }));
  });
});

describe('the status file', () => {
  interface Status {
    uptime: number;
    last_message: number;
    connected_server: string;
    certificate_expires: string;
    stats: { total: number; valid: number };
  }
  const read = () => JSON.parse(readFileSync(statusFile, 'utf8')) as Status;
  const check = (...flags: string[]) => runMuster(['status', '--status-file', statusFile, ...flags]);
  const altered = (name: string, change: Partial<Record<keyof Status | 'provisioning_mode', unknown>>) => {
    const file = join(folder, name);
    writeFileSync(file, JSON.stringify({ ...read(), ...change }));
    return file;
  };

  test('has Choria’s fields and is kept up to date', async () => {
    const now = Math.floor(Date.now() / 1000);
    await client.ask('n1.test', 'rpcutil', 'ping');
    await until('the request is in it', () => read().last_message >= now);
    expect(read()).toEqual({
      identity: 'n1.test',
      uptime: expect.any(Number),
      connected_server: `nats://127.0.0.1:${fleet.port}`,
      last_message: expect.any(Number),
      provisioning_mode: false,
      stats: {
        total: expect.any(Number),
        valid: expect.any(Number),
        invalid: 0,
        passed: expect.any(Number),
        filtered: expect.any(Number),
        replies: expect.any(Number),
        ttlexpired: 0,
        events: expect.any(Number),
      },
      certificate_expires: expect.stringMatching(/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
      token_expires: '0001-01-01T00:00:00Z',
    });
    expect(statSync(statusFile).mode & 0o777).toBe(0o644);
  });

  test('muster status is content with a node that is well', async () => {
    expect(await check()).toEqual({ code: 0, out: `${statusFile} OK\n`, err: '' });
  });

  const hourAgo = () => Math.floor(Date.now() / 1000) - 3_700;
  test.each([
    ['is not connected', { connected_server: '' }, /connection check failed: not connected/, '--no-disconnected'],
    [
      'was asked nothing for long',
      () => ({ last_message: hourAgo() }),
      /no recent messages: last message at/,
      '--message-since=0',
    ],
    [
      'has been up for long and was asked nothing',
      { last_message: 0, uptime: 9_999 },
      /none since the start/,
      '--message-since=3h',
    ],
    [
      'has a certificate that ends soon',
      () => ({ certificate_expires: new Date(Date.now() + 3_600_000).toISOString() }),
      /certificate expires at/,
      '--certificate-age=30m',
    ],
    ['has a token that ended', { token_expires: '2020-01-01T00:00:00Z' }, /token expires at 2020/, '--token-age=0'],
  ] as const)('muster status tells that a node %s, unless that is switched off', async (_what, change, problem, flag) => {
    const file = altered('altered.json', (typeof change === 'function' ? change() : change) as Partial<Status>);
    const found = await runMuster(['status', '--status-file', file]);
    expect([found.code, found.out]).toEqual([1, expect.stringMatching(problem)]);
    expect((await runMuster(['status', '--status-file', file, flag])).code).toBe(0);
  });

  test('muster status tells of a file that is old, torn, or not there, and of the mode that is asked for', async () => {
    const old = altered('old.json', {});
    utimesSync(old, new Date(0), new Date(Date.now() - 3_600_000));
    expect(await runMuster(['status', '--status-file', old])).toMatchObject({
      code: 1,
      out: expect.stringContaining('older than 30m'),
    });
    const torn = join(folder, 'torn.json');
    writeFileSync(torn, '{"identity":"x"}');
    expect((await runMuster(['status', '--status-file', torn])).out).toContain('it is no status file');
    expect((await runMuster(['status', '--status-file', join(folder, 'none.json')])).out).toContain('could not be read');
    expect(await check('--unprovisioned')).toMatchObject({ code: 1, out: expect.stringContaining('not in provisioning mode') });
    expect((await check('--provisioned')).code).toBe(0);
  });
});

test('a node that lost its broker says so in its status file, and when it is back', async () => {
  const server = () => (JSON.parse(readFileSync(statusFile, 'utf8')) as { connected_server: string }).connected_server;
  await fleet.broker?.stop();
  await until('the connection is gone', () => server() === '');
  expect((await runMuster(['status', '--status-file', statusFile])).out).toContain('connection check failed');
  await fleet.startBroker();
  await until('the connection is back', () => server() !== '');
  const { values } = await scrape(ports.node);
  expect(values['choria_connector_connection_closed{identity="n1.test"}']).toBe(1);
  expect(values['choria_connector_reconnections{identity="n1.test"}']).toBe(1);
});

test('the log level of a running node is changed and told', async () => {
  const state = join(folder, 'state');
  const config = writeConfig(folder, 'server.conf', {
    ...(await fleet.certificate('leveled.test')),
    identity: 'leveled.test',
    loglevel: 'warn',
    rpcauthorization: 'no',
    logfile: join(folder, 'server.log'),
    'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
  });
  const main = join(distributionRoot(), 'core/cli/main.js');
  const node = spawn(process.execPath, [main, 'run', 'server', '--config', config, '--state', state], { stdio: 'ignore' });
  const ended = new Promise((resolve) => node.once('exit', resolve));
  try {
    await until(
      'it answers',
      () => client.ask('leveled.test', 'rpcutil', 'ping', {}, { timeoutMs: 1_000 }).catch(() => undefined),
      30_000,
    );
    const level = (...args: string[]) => runMuster(['plugin', 'log-level', ...args, '--state', state]);
    expect(await level()).toMatchObject({ code: 0, out: 'warn\n' });
    expect(await level('debug')).toMatchObject({ code: 0, out: 'debug\n' });
    expect(await level('loud')).toMatchObject({ code: 1, err: expect.stringContaining('there are debug, info, warn, error') });
    const lines = () =>
      readFileSync(join(folder, 'server.log'), 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line) as { level: string; plugin?: string });
    expect(lines().some(({ level: one }) => one === 'debug')).toBe(false);
    // A plugin that starts now tells so in its own, older log.
    await client.ask('leveled.test', 'uptime', 'show');
    await until('the plugin logs at debug', () =>
      lines().some(({ level: one, plugin }) => one === 'debug' && plugin === 'agent/uptime'),
    );
  } finally {
    node.kill('SIGTERM');
    await ended;
  }
});
