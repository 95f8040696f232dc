// Users of a login on the fleet: their commands sign through the service, over HTTP or over the brokers, beside certificates.

import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Fleet } from '../support/fleet.ts';
import { freePort, temporaryFolder, until } from '../support/folders.ts';
import { SignerService, type User } from '../support/signer-service.ts';

const { path: folder, remove } = temporaryFolder();
let fleet: Fleet;
let service: SignerService;
let anna: User;

beforeAll(async () => {
  fleet = await Fleet.start({ 'plugin.choria.network.stream.store': join(folder, 'streams') });
  const policies = {
    rpcutil: ['policy default deny', 'allow\tup=ann_lee\t*\t*\t*', 'allow\tchoria=operator.mcollective\t*\t*\t*'],
  };
  service = await SignerService.start(fleet.authority, {
    signer: { choria_service: true },
    config: { 'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}` },
  });
  await service.connected();
  await fleet.node('web1.test', { policies });
  anna = await service.user('ann.lee', { agents: ['rpcutil.*'] });
});
afterAll(async () => {
  await service.stop();
  await fleet.stop();
  remove();
});

function keep(user: User, name: string): Record<string, string> {
  const file = join(folder, `${name}.jwt`);
  writeFileSync(file, `${user.token}\n`, { mode: 0o600 });
  writeFileSync(join(folder, `${name}.key`), user.seed, { mode: 0o600 });
  return { 'plugin.choria.security.request_signer.token_file': file };
}

const overHttp = (...ports: number[]) => ({
  'plugin.choria.security.request_signer.url': ports.map((port) => `http://127.0.0.1:${port}/choria/v1/sign`).join(','),
});
const overBus = { 'plugin.choria.security.request_signer.service': true };

describe.each([
  ['over HTTP', () => overHttp(service.port)],
  ['over the brokers', () => overBus],
])('with a signer %s', (_way, signer) => {
  test('a user without an own certificate of a caller is known on the node by his login', async () => {
    const client = await fleet.client('desk.test', { ...keep(anna, 'anna'), ...signer() });
    await until('the node is found', async () => (await client.find()).join() === 'web1.test');
    expect((await client.ask('web1.test', 'rpcutil', 'ping')).statuscode).toBe(0);
  });

  test('what no list allows is refused before anything is sent, with the reason', async () => {
    const client = await fleet.client('desk.test', { ...keep(anna, 'anna'), ...signer() });
    await expect(client.ask('web1.test', 'choria_util', 'info')).rejects.toThrow(
      /the signer refused the request \(Request [dD]enied\): Your list does not have choria_util\.info\./,
    );
  });
});

test.each([
  ['over HTTP', () => overHttp(service.port)],
  ['over the brokers', () => overBus],
])('the same with plugins of the client persistent, %s', async (_way, signer) => {
  const client = await fleet.client('desk.test', { ...keep(anna, 'anna'), ...signer() }, 'persistent');
  expect((await client.ask('web1.test', 'rpcutil', 'ping')).statuscode).toBe(0);
  await expect(client.ask('web1.test', 'choria_util', 'info')).rejects.toThrow('Your list does not have choria_util.info.');
});

test('without a token, certificates sign as before', async () => {
  const nobody = { 'plugin.choria.security.request_signer.token_file': join(folder, 'none.jwt') };
  const client = await fleet.client('operator.mcollective', { ...nobody, ...overHttp(service.port) });
  expect((await client.ask('web1.test', 'rpcutil', 'ping')).statuscode).toBe(0);
});

test('a token that has ended says what to do', async () => {
  const late = await service.user('late', { validitySeconds: 60, now: new Date(Date.now() - 3_600_000) });
  await expect(fleet.client('desk.test', { ...keep(late, 'late'), ...overHttp(service.port) })).rejects.toThrow(
    /the token of up=late ended at .*; log in with `muster login`/,
  );
});

test('another service is asked where one is away or fails, and not where one refuses', async () => {
  let asked = 0;
  const answers: [number, string][] = [[502, '{}']];
  const other = createServer((_request, response) => {
    asked += 1;
    const [status, body] = answers[0] ?? [200, ''];
    response.writeHead(status, { 'content-type': 'application/json' }).end(body);
  });
  const port = await freePort();
  await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve));
  try {
    const config = { ...keep(anna, 'anna'), ...overHttp(await freePort(), port, service.port) };
    const client = await fleet.client('desk.test', config);
    expect((await client.ask('web1.test', 'rpcutil', 'ping')).statuscode).toBe(0);
    expect(asked).toBe(1);
    answers[0] = [200, '{"error":"Request denied","fault":"SIGNER_AUDIT"}'];
    const first = await fleet.client('desk.test', config);
    expect((await first.ask('web1.test', 'rpcutil', 'ping')).statuscode).toBe(0);
    answers[0] = [200, '{"error":"Request denied"}'];
    const second = await fleet.client('desk.test', config);
    await expect(second.ask('web1.test', 'rpcutil', 'ping')).rejects.toThrow('the signer refused the request (Request denied)');
  } finally {
    other.close();
  }
});

test('a signer that is not verified is not asked, nor one that signs something else believed', async () => {
  const other = createServer((_request, response) => {
    const secure = {
      protocol: 'choria:secure:request:1',
      message: service.text({ agent: 'shell' }),
      signature: 'x',
      pubcert: 'y',
    };
    const body = JSON.stringify({ secure_request: Buffer.from(JSON.stringify(secure)).toString('base64') });
    response.writeHead(200, { 'content-type': 'application/json' }).end(body);
  });
  const port = await freePort();
  await new Promise<void>((resolve) => other.listen(port, '127.0.0.1', resolve));
  try {
    const client = await fleet.client('desk.test', { ...keep(anna, 'anna'), ...overHttp(port) });
    await expect(client.find()).rejects.toThrow('the signer signed another request than the one that it was asked to');
  } finally {
    other.close();
  }
});
