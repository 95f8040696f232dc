// Tokens that are revoked: dead at every signer within seconds, also at one that starts later.

import { readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { makeClientToken } from '../../plugins/wire/tokens/client.ts';
import { publicHex, seedHex } from '../../plugins/wire/tokens/ed25519.ts';
import { runMuster, writeConfig } from '../support/command.ts';
import { patience } from '../support/discovery.ts';
import { Fleet } from '../support/fleet.ts';
import { freePort, temporaryFolder, until } from '../support/folders.ts';
import { SignerService, secureOf, type User } from '../support/signer-service.ts';

const { path: folder, remove } = temporaryFolder();
let fleet: Fleet;
let services: SignerService[] = [];
let config: string;
let issuerFile: string;

beforeAll(async () => {
  fleet = await Fleet.start({ 'plugin.choria.network.stream.store': join(folder, 'streams') });
  const brokers = { 'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}` };
  const first = await SignerService.start(fleet.authority, { config: brokers });
  services = [first, await SignerService.start(fleet.authority, { config: brokers, beside: first })];
  config = writeConfig(folder, 'client.conf', { ...(await fleet.certificate('operator.mcollective')), ...patience, ...brokers });
  issuerFile = join(folder, 'issuer.seed');
  writeFileSync(issuerFile, seedHex(first.issuer));
  for (const service of services) await follows(service);
});
afterAll(async () => {
  for (const service of services) await service.stop();
  await fleet.stop();
  remove();
});

const muster = (...args: string[]) => runMuster([...args, '--signing-key', issuerFile, '--config', config]);
const isGood = async (service: SignerService, user: User) => 'secure_request' in (await service.sign(user)).body;

const statusOf = async (service: SignerService) =>
  (await service.host?.host.call('service', 'aaa', 'service/status', {})) as {
    details: { revocationsCurrent: boolean };
  };

/** It knows all that the brokers have. */
async function follows(service: SignerService): Promise<void> {
  await until('the signer follows', async () => (await statusOf(service)).details.revocationsCurrent);
}

/** To a port of this machine, with so many milliseconds before each piece arrives. */
async function slowRelay(to: number, delayMs: number): Promise<{ readonly port: number; stop(): void }> {
  const sockets: Socket[] = [];
  const server = createServer((client) => {
    const broker = connect(to, '127.0.0.1');
    for (const [from, into] of [
      [client, broker],
      [broker, client],
    ] as const) {
      sockets.push(from);
      from.on('data', (chunk) => setTimeout(() => into.writable && into.write(chunk), delayMs));
      from.on('error', () => undefined).on('close', () => into.destroy());
    }
  });
  const port = await freePort();
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    port,
    stop: () => {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

async function diesEverywhere(user: User): Promise<void> {
  for (const service of services) await until('the token is dead', async () => !(await isGood(service, user)));
}

test('a stolen token is dead within seconds, wherever it is shown, and lives again when it is restored', async () => {
  const [first] = services;
  const [anna, bert] = [await first?.user('anna'), await first?.user('bert')] as [User, User];
  for (const service of services) secureOf(await service.sign(anna));
  const file = join(folder, 'stolen.jwt');
  writeFileSync(file, anna.token);
  expect(await muster('aaa', 'revoke', file, '--reason', 'laptop lost')).toMatchObject({ code: 0 });
  await diesEverywhere(anna);
  // As it looks after a refresh: another id, and the same key.
  const refreshed = await makeClientToken(
    { callerid: 'up=anna', publicKey: publicHex(anna.key), agents: ['rpcutil.*'], validitySeconds: 3_600 },
    { key: { algorithm: 'EdDSA', key: (first as SignerService).issuer } },
  );
  expect((await first?.sign({ ...anna, token: refreshed }))?.body).toEqual({ error: 'Request denied' });
  for (const service of services) secureOf(await service.sign(bert));
  expect((await muster('aaa', 'revoked')).out).toMatch(/^tokens for the key [0-9a-f]{64} \(.*\): laptop lost$/m);
  expect(await muster('aaa', 'restore', file)).toMatchObject({ code: 0 });
  for (const service of services) await until('the token is good', () => isGood(service, anna));
});

test('tokens of a user that were issued before are dead, those that are issued later are good', async () => {
  const [first] = services as [SignerService];
  const before = await first.user('carl', { now: new Date(Date.now() - 5_000) });
  expect(await muster('aaa', 'revoke', '--user', 'up=carl', '--validity', '2h')).toMatchObject({ code: 0 });
  await diesEverywhere(before);
  await until('the second is over', () => Date.now() % 1_000 > 950);
  await until('the next one begins', () => Date.now() % 1_000 < 500);
  secureOf(await first.sign(await first.user('carl')));
});

test('a key that is revoked takes every token for it with it, also at a signer that starts later', async () => {
  const [first] = services as [SignerService];
  const dora = await first.user('dora');
  const key = JSON.parse(Buffer.from(dora.token.split('.')[1] ?? '', 'base64url').toString()).public_key;
  expect(await muster('aaa', 'revoke', '--key', key)).toMatchObject({ code: 0 });
  const brokers = { 'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}` };
  const late = await SignerService.start(fleet.authority, { config: brokers, beside: first });
  services.push(late);
  expect((await late.sign(dora)).body).toEqual({ error: 'Request denied' });
  expect(late.host?.log.filter(({ message }) => message.startsWith('refused')).at(-1)?.message).toContain(
    'the token was revoked',
  );
});

test('one that starts where the network is slow signs nothing before it has heard what was revoked', async () => {
  const [first] = services as [SignerService];
  const frida = await first.user('frida');
  const key = JSON.parse(Buffer.from(frida.token.split('.')[1] ?? '', 'base64url').toString()).public_key;
  expect(await muster('aaa', 'revoke', '--key', key)).toMatchObject({ code: 0 });
  const relay = await slowRelay(fleet.port, 200);
  const late = await SignerService.start(fleet.authority, {
    config: { 'plugin.choria.middleware_hosts': `127.0.0.1:${relay.port}`, 'plugin.choria.network.connect_timeout': '20s' },
    beside: first,
  });
  try {
    expect((await late.sign(frida)).body).toEqual({ error: 'Request denied' });
    secureOf(await late.sign(await first.user('gerd')));
  } finally {
    await late.stop();
    relay.stop();
  }
});

test.each([
  [[], 'name one: a file with a token, --user, --key or --id'],
  [['--user', 'anna'], "'anna' is no caller id such as up=anna"],
  [['--key', 'abc'], 'a public key has 64 hex digits'],
  [['none.jwt'], 'this is no JSON Web Token'],
  [['--user', 'up=x', '--validity', 'long'], "--validity: 'long' is no duration"],
])('muster aaa revoke %j says what is wrong', async (args, problem) => {
  const { code, err } = await muster('aaa', 'revoke', ...args);
  expect(code).toBe(1);
  expect(err).toContain(problem);
});

test('revocations are signed with the key of the service whose configuration is given', async () => {
  const [first] = services as [SignerService];
  const emil = await first.user('emil');
  const file = join(folder, 'emil.jwt');
  writeFileSync(file, emil.token);
  const service = join(folder, 'aaa.json');
  const settings = { authenticator: 'userlist', port: 1, disable_tls: true };
  writeFileSync(service, JSON.stringify({ ...settings, userlist_authenticator: { validity: '1h', signing_key: issuerFile } }));
  const shared = readFileSync(config, 'utf8');
  const own = join(folder, 'service.conf');
  writeFileSync(own, `${shared}plugin.aaa.config = ${service}\n`, { mode: 0o600 });
  const { code, out } = await runMuster(['aaa', 'revoke', file, '--json', '--config', own]);
  expect({ code, ...JSON.parse(out) }).toMatchObject({ code: 0, kind: 'public_key', value: publicHex(emil.key), ou: 'choria' });
  await diesEverywhere(emil);
  const listed = JSON.parse((await runMuster(['aaa', 'revoked', '--json', '--config', own])).out) as { revoked: object[] };
  expect(listed).toMatchObject({ unknown: 0, revoked: expect.arrayContaining([expect.objectContaining(JSON.parse(out))]) });
  expect((await runMuster(['aaa', 'restore', file, '--config', own])).code).toBe(0);
  for (const one of services) await until('the token is good', () => isGood(one, emil));
});

test('without a key nothing is revoked, and with that of a stranger nothing is shown', async () => {
  const none = await runMuster(['aaa', 'revoke', '--user', 'up=gina', '--config', config]);
  expect(none).toMatchObject({ code: 1, out: '' });
  expect(none.err).toContain('there is none: plugin.aaa.config is not set; use the configuration of the AAA service by --config');
  const stranger = join(folder, 'stranger.seed');
  writeFileSync(stranger, '44'.repeat(32));
  const listed = await runMuster(['aaa', 'revoked', '--json', '--config', config, '--signing-key', stranger]);
  expect(JSON.parse(listed.out)).toEqual({ revoked: [], unknown: expect.any(Number) });
  expect(listed.err).toContain('are not signed by a key that is trusted here');
  const half = await runMuster(['aaa', 'revoked', '--config', config, '--signing-token', stranger]);
  expect(half.err).toContain('--signing-token belongs to --signing-key');
});
