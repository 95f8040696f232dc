// With a nats-server that asks back, each node shows its token and gets its own subject under its own name. The nodes are
// bare connections, so that nothing but the broker holds them back.

import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import type { ConnectionOptions, NatsConnection } from 'nats';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { keyFromSeed, publicHex } from '../../plugins/wire/tokens/ed25519.ts';
import { makeProvisioningToken } from '../../plugins/wire/tokens/provisioning.ts';
import { Fleet } from '../support/fleet.ts';
import { freePort, temporaryFolder, until } from '../support/folders.ts';
import { complaint, converse, Listener, sampleListener } from '../support/listener.ts';
import { goProgram } from '../support/provisioning.ts';

const network = 'plugin.choria.network.provisioning';
const provisioner = { user: 'provisioner', pass: 'pr0v' };
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 });
const foreign = generateKeyPairSync('rsa', { modulusLength: 2048 });
const issuer = keyFromSeed('11'.repeat(32));
const claims = { cht: 's3cret', chu: 'broker.test:4222', chpd: true };
const hour = 3_600;

/** A token as Choria makes it, by any algorithm. */
const token = (algorithm: string, key: KeyObject, changes: Readonly<Record<string, unknown>> = {}): Promise<string> => {
  const now = Math.floor(Date.now() / 1000);
  const all = {
    ...claims,
    purpose: 'choria_provisioning',
    sub: 'choria_provisioning',
    iat: now,
    nbf: now,
    exp: now + hour,
    ...changes,
  };
  return new SignJWT(all).setProtectedHeader({ alg: algorithm, typ: 'JWT' }).sign(key);
};

/** With a claim changed and the signature kept. */
function altered(text: string): string {
  const [head, body = '', signature] = text.split('.');
  const changed = { ...(JSON.parse(Buffer.from(body, 'base64url').toString()) as object), cht: 'guess' };
  return [head, Buffer.from(JSON.stringify(changed)).toString('base64url'), signature].join('.');
}

function unsigned(text: string): string {
  const head = Buffer.from(JSON.stringify({ alg: 'none', typ: 'JWT' })).toString('base64url');
  return `${head}.${text.split('.')[1]}.`;
}

describe('a listener that checks tokens', () => {
  let fleet: Fleet;
  let port: number;
  let good: string;
  let listener: Listener;
  const { path, remove } = temporaryFolder();

  beforeAll(async () => {
    vi.stubEnv('NATS_SERVER', await goProgram('nats-server'));
    port = await freePort();
    const signer = join(path, 'signer.pem');
    writeFileSync(signer, rsa.publicKey.export({ type: 'spki', format: 'pem' }));
    fleet = await Fleet.start({
      ...sampleListener(),
      [`${network}.port`]: port,
      [`${network}.client_password`]: provisioner.pass,
      [`${network}.signer_cert`]: signer,
      'plugin.security.issuer.names': 'acme',
      'plugin.security.issuer.acme.public': publicHex(issuer),
    });
    listener = new Listener(fleet, port);
    good = await makeProvisioningToken({ claims, validitySeconds: hour }, { algorithm: 'RS256', key: rsa.privateKey });
  }, 200_000);
  afterEach(async () => {
    await listener.close();
  });
  afterAll(async () => {
    await fleet?.stop();
    remove();
    vi.unstubAllEnvs();
  });

  const enter = (options: ConnectionOptions) => listener.enter(options);

  test('a node and the provisioner talk as the protocol has it', async () => {
    expect(await converse(await enter({ token: good, name: 'n1.test' }), await enter(provisioner), 'n1.test')).toEqual([
      'up',
      'who',
      'me',
    ]);
  });

  test.each([
    'provisioning.node.n2.test',
    'provisioning.node.>',
    'provisioning.node.*.test',
    'provisioning.reply.>',
    '>',
    '$SYS.>',
  ])('a node may not subscribe to %s', async (subject) => {
    const connection = await enter({ token: good, name: 'n1.test' });
    expect(await complaint(connection, () => void connection.subscribe(subject, { callback: () => undefined }))).toMatch(
      /permissions violation/i,
    );
  });

  test.each(['provisioning.node.n2.test', 'provisioning.broadcast.agent.rpcutil', '$JS.API.INFO', '$SYS.REQ.USER.AUTH'])(
    'a node may not publish to %s',
    async (subject) => {
      const connection = await enter({ token: good, name: 'n1.test' });
      expect(await complaint(connection, () => connection.publish(subject, 'x'))).toMatch(/permissions violation/i);
    },
  );

  test.each(['RS256', 'RS384', 'RS512'])('a token by %s is good', async (algorithm) => {
    await (await enter({ token: await token(algorithm, rsa.privateKey), name: 'n1.test' })).flush();
  });

  test('a token of an issuer is good, for its organization', async () => {
    await (await enter({ token: await token('EdDSA', issuer, { ou: 'acme' }), name: 'n1.test' })).flush();
    await expect(enter({ token: await token('EdDSA', issuer, { ou: 'other' }), name: 'n1.test' })).rejects.toThrow(
      /authorization/i,
    );
    expect(listener.warned('nobody is trusted to sign the token for "other"')).toBe(true);
  });

  test('with a token, the user name that older servers want counts for nothing', async () => {
    const node = await enter({ token: good, user: 'node', pass: 'change-me-too', name: 'n1.test' });
    expect(await converse(node, await enter(provisioner), 'n1.test')).toEqual(['up', 'who', 'me']);
    await expect(enter({ user: 'node', pass: 'change-me-too', name: 'n2.test' })).rejects.toThrow(/authorization/i);
    await expect(enter({ token: good, user: 'provisioner', pass: 'x', name: 'n2.test' })).rejects.toThrow(/authorization/i);
  });

  test('a line break after the token is no part of it', async () => {
    await (await enter({ token: `${good}\n`, name: 'n1.test' })).flush();
  });

  const past = Math.floor(Date.now() / 1000) - 1;
  test.each([
    ['none', async () => undefined, 'there is no provisioning token'],
    ['one of another signer', () => token('RS256', foreign.privateKey), 'was not signed by the issuer that is trusted here'],
    ['one that has expired', () => token('RS256', rsa.privateKey, { exp: past }), 'the token has expired'],
    ['one that is not yet valid', () => token('RS256', rsa.privateKey, { nbf: past + hour }), 'the token is not yet valid'],
    ['one of a node', () => token('RS256', rsa.privateKey, { purpose: 'choria_server' }), 'is none for provisioning'],
    ['one by another algorithm', () => token('PS256', rsa.privateKey), 'the token is not signed by RS256'],
    ['one that was altered', async () => altered(good), 'was not signed by the issuer that is trusted here'],
    ['one without a signature', async () => unsigned(good), 'the token'],
    ['garbage', async () => 'garbage', 'this is no JSON Web Token'],
    ['a very long one', async () => 'a'.repeat(100_000), ''],
  ])('a node with this token is refused: %s', async (_what, make, reason) => {
    const text = await make();
    await expect(enter({ ...(text !== undefined && { token: text }), name: 'bad.test' })).rejects.toThrow();
    expect(listener.warned(reason)).toBe(true);
  });

  test('a token is good until it expires, and no longer', async () => {
    const soon = Math.floor(Date.now() / 1000) + 10;
    const connection = await enter({ token: await token('RS256', rsa.privateKey, { exp: soon }), name: 'n1.test' });
    await connection.closed();
    expect(Date.now()).toBeGreaterThanOrEqual(soon * 1000 - 500);
  });

  test.each(['', '>', 'n1.*', 'n1 test', '.n1', 'n1..test', 'n'.repeat(300)])('a node named %j is refused', async (name) => {
    await expect(enter({ token: good, name })).rejects.toThrow(/authorization/i);
    expect(listener.warned('the name of the connection is no identity of a node')).toBe(true);
  });

  test.each([
    ['a wrong password of the provisioner', { user: 'provisioner', pass: 'guess' }],
    ['nothing', {}],
    ['the callout by a guess', { user: 'callout', pass: 'guess' }],
  ])('%s is refused', async (_what, options) => {
    await expect(enter(options)).rejects.toThrow(/authorization/i);
  });

  test('the first holder of a name keeps it; when it is gone the name is free', async () => {
    const first = await enter({ token: good, name: 'twin.test' });
    await expect(enter({ token: good, name: 'twin.test' })).rejects.toThrow(/authorization/i);
    expect(listener.warned('twin.test is connected already, and the first holder of a name keeps it')).toBe(true);
    await first.flush();
    await first.close();
    const next = await until('the server has heard of it', () =>
      enter({ token: good, name: 'twin.test' }).catch(() => undefined),
    );
    await next.flush();
  });

  test('a reload of the bundle keeps nodes and names, and a restart of the server frees them', async () => {
    const first = await enter({ token: good, name: 'twin.test' });
    expect(await listener.reload()).toBe('persistent');
    await expect(enter({ token: good, name: 'twin.test' })).rejects.toThrow(/authorization/i);
    await first.flush();
    process.kill(Number(listener.pids()[1]), 'SIGKILL');
    await first.closed();
    const again = await until('the name is given again', () =>
      // The server asks in vain until the callout is back.
      enter({ token: good, name: 'twin.test', timeout: 5_000 }).catch(() => undefined),
    );
    await again.flush();
  });
});

test('more at once than may shake hands in a second are turned away, come again, and are all let in in the end', async () => {
  vi.stubEnv('NATS_SERVER', await goProgram('nats-server'));
  const port = await freePort();
  const fleet = await Fleet.start({
    [`${network}.port`]: port,
    [`${network}.client_password`]: provisioner.pass,
    [`${network}.signer_cert`]: publicHex(issuer),
    'plugin.muster.broker.provisioning.connection_rate': 25,
  });
  const listener = new Listener(fleet, port);
  await until('it is healthy', () => listener.healthy());
  const text = await token('EdDSA', issuer);
  let tries = 0;
  const insist = async (name: string): Promise<NatsConnection> => {
    for (;;) {
      tries += 1;
      const connection = await listener.enter({ token: text, name, timeout: 5_000 }).catch(() => undefined);
      if (connection) return connection;
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 2_000));
    }
  };
  const all = await Promise.all(Array.from({ length: 200 }, (_, index) => insist(`many-${index}.test`)));
  await Promise.all(all.map((connection) => connection.flush()));
  expect(tries).toBeGreaterThan(200);
  await until('the server tells of it', () => listener.warned('connections due to TLS rate limiting'));
  expect(await listener.healthy()).toBe(true);
  await listener.close();
  await fleet.stop();
  vi.unstubAllEnvs();
});
