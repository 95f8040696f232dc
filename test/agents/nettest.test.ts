// The agent `nettest` on real sockets of this machine, asked through a real node.

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Fleet, type TestClient } from '../support/fleet.ts';
import { freePort, until } from '../support/folders.ts';
import type { TestHost } from '../support/hosts.ts';
import { needs } from '../support/languages.ts';

let fleet: Fleet;
let node: TestHost;
let client: TestClient;
const servers: Server[] = [];

beforeAll(async () => {
  needs('ruby');
  fleet = await Fleet.start();
  node = await fleet.node('net.test');
  client = await fleet.client();
});
afterAll(async () => {
  for (const server of servers) server.close();
  await fleet.stop();
});

const ask = async (action: string, data: Readonly<Record<string, unknown>>, timeoutMs = 20_000) =>
  (await client.ask('net.test', 'nettest', action, data, { timeoutMs })) as {
    statuscode: number;
    statusmsg: string;
    data: Record<string, unknown>;
  };

/** A port that takes connections. */
async function listen(host: string): Promise<number> {
  const server = createServer((socket) => socket.end());
  servers.push(server);
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, host, resolve));
  const address = server.address();
  if (typeof address !== 'object' || address === null) throw new Error('the server has no port');
  return address.port;
}

describe('connect', () => {
  test.each([
    ['127.0.0.1', '127.0.0.1'],
    ['::1', '::1'],
    ['127.0.0.1', 'localhost'],
  ])('a port that listens on %s is reached as %s', async (host, fqdn) => {
    const { statuscode, data } = await ask('connect', { fqdn, port: await listen(host) });
    expect([statuscode, data]).toEqual([0, { connect: true, connect_status: 'Connected', connect_time: expect.any(Number) }]);
    expect(data.connect_time).toBeGreaterThan(0);
    expect(data.connect_time).toBeLessThan(5);
  });

  test('a port where nobody listens refuses', async () => {
    expect(await ask('connect', { fqdn: '127.0.0.1', port: await freePort() })).toMatchObject({
      statuscode: 0,
      data: { connect: false, connect_status: 'Connection Refused' },
    });
  });

  test('a name that there is not is told in words', async () => {
    const { statuscode, data } = await ask('connect', { fqdn: 'no-such-host.invalid', port: 80 });
    expect([statuscode, data.connect]).toEqual([0, false]);
    expect(data.connect_status).toMatch(/name|resol|address/i);
  });

  test.each([0, 65_536, -1])('port %d is none', async (port) => {
    expect(await ask('connect', { fqdn: 'localhost', port })).toMatchObject({
      statuscode: 4,
      statusmsg: 'input port must be 1..65535',
    });
  });

  test.each(['-o evil', '$(id)', 'a b', "x'y"])('%s is no host', async (fqdn) => {
    const reply = await ask('connect', { fqdn, port: 80 });
    expect(reply.statuscode).toBe(4);
    expect(reply.statusmsg).toContain("input 'fqdn'");
  });
});

describe('a port that never answers', () => {
  // Its queue is full and nobody takes from it, so that the kernel drops what comes.
  const script = `import socket, sys
server = socket.socket()
server.bind(("127.0.0.1", 0))
server.listen(0)
waiting = []
for _ in range(8):
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(server.getsockname())
    waiting.append(client)
print(server.getsockname()[1], flush=True)
sys.stdin.read()
`;
  let deaf: ChildProcessWithoutNullStreams;
  let port: number;
  beforeAll(async () => {
    deaf = spawn('python3', ['-c', script]);
    const [line] = (await once(createInterface({ input: deaf.stdout }), 'line')) as [string];
    port = Number(line);
  });
  afterAll(() => void deaf.kill());

  test('is given up after five seconds', async () => {
    const { statuscode, data } = await ask('connect', { fqdn: '127.0.0.1', port });
    expect([statuscode, data.connect, data.connect_status]).toEqual([0, false, 'Connection timeout']);
    expect(data.connect_time).toBeGreaterThan(4.5);
  });

  test('is given up in time where the request leaves less, and at once when the caller does', async () => {
    const params = { agent: 'nettest', action: 'connect', data: { fqdn: '127.0.0.1', port } };
    const invoke = (options: object) => node.host.call('agent', 'nettest', 'agent/invoke', params, options);
    expect(await invoke({ deadlineMs: 2_000 })).toMatchObject({ data: { connect: false, connect_status: 'Connection timeout' } });
    const cancel = new AbortController();
    const waiting = invoke({ signal: cancel.signal });
    cancel.abort(new Error('enough'));
    await expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' });
    const inFlight = () => node.host.list('agent').find(({ name }) => name === 'nettest')?.inFlight;
    await until('nothing runs any more', () => inFlight() === 0, 4_000);
  });
});

describe('ping', () => {
  test.each(['127.0.0.1', '::1', 'localhost'])('%s answers', async (fqdn) => {
    const { statuscode, statusmsg, data } = await ask('ping', { fqdn });
    expect([statuscode, statusmsg]).toEqual([0, 'OK']);
    expect(data.rtt).toBeGreaterThan(0);
    expect(data.rtt).toBeLessThan(5_000);
  });

  test('twenty at once each know their own answer', async () => {
    const replies = await Promise.all(Array.from({ length: 20 }, () => ask('ping', { fqdn: '127.0.0.1' })));
    expect(replies.map(({ statuscode }) => statuscode)).toEqual(replies.map(() => 0));
  });

  test('a name that there is not ends it, with the name', async () => {
    const { statuscode, statusmsg } = await ask('ping', { fqdn: 'no-such-host.invalid' });
    expect(statuscode).toBe(1);
    expect(statusmsg).toContain("no-such-host.invalid can't be reached");
  });
});
