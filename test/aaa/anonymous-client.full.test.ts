// Users without any certificate (client_anon_tls): the token and its key open the broker's port for tokens, and the AAA service
// signs what they ask of nodes of protocol v1. Ours, one that does by hand what Choria's client does, and Choria's own, where
// that is at hand: `CHORIA`, or `choria` on PATH.

import { spawn } from 'node:child_process';
import { createHash, createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { connect } from 'nats';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { publicHex } from '../../plugins/wire/tokens/ed25519.ts';
import { writeConfig } from '../support/command.ts';
import { Fleet } from '../support/fleet.ts';
import { freePort, temporaryFolder, until } from '../support/folders.ts';
import { goProgram } from '../support/provisioning.ts';
import { SignerService, type User } from '../support/signer-service.ts';

const onPath = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'choria'));
const program = [process.env.CHORIA ?? '', ...onPath].find((path) => path !== '' && existsSync(path));

const { path: folder, remove } = temporaryFolder();
let fleet: Fleet;
let service: SignerService;
let port: number;
let anna: User;
let tokenFile: string;

beforeAll(async () => {
  vi.stubEnv('NATS_SERVER', await goProgram('nats-server'));
  port = await freePort();
  const issuer = generateKeyPairSync('ed25519').privateKey;
  fleet = await Fleet.start({
    'plugin.muster.broker.token_port': port,
    'plugin.choria.network.client_signer_cert': publicHex(issuer),
  });
  service = await SignerService.start(fleet.authority, {
    issuer,
    signer: { choria_service: true },
    config: { 'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}` },
  });
  const policies = { rpcutil: ['policy default deny', 'allow\tup=anna\tping\t*\t*'] };
  await service.connected();
  await fleet.node('web1.test', { policies });
  anna = await service.user('anna', { agents: ['rpcutil.*'], permissions: { fleet_management: true } });
  tokenFile = join(folder, 'anna.jwt');
  writeFileSync(tokenFile, anna.token, { mode: 0o600 });
  writeFileSync(join(folder, 'anna.key'), anna.seed, { mode: 0o600 });
}, 200_000);
afterAll(async () => {
  await service?.stop();
  await fleet?.stop();
  vi.unstubAllEnvs();
  remove();
});

const settings = () => ({
  identity: 'desk.test',
  'plugin.choria.middleware_hosts': `localhost:${port}`,
  'plugin.security.provider': 'file',
  'plugin.security.client_anon_tls': true,
  'plugin.choria.security.request_signer.token_file': tokenFile,
});

describe.each([
  ['HTTP', () => ({ 'plugin.choria.security.request_signer.url': `http://127.0.0.1:${service.port}/choria/v1/sign` })],
  ['the brokers', () => ({ 'plugin.choria.security.request_signer.service': true })],
])('a user without a certificate whose requests are signed over %s', (way, signer) => {
  test('reaches nodes, and is who his token says', async () => {
    const none = Object.fromEntries(
      ['certificate', 'key', 'ca'].map((name) => [`plugin.security.file.${name}`, join(folder, 'none')]),
    );
    const client = await fleet.client('desk.test', { ...none, ...settings(), ...signer() });
    await until('the node is found', async () => (await client.find()).length === 1);
    expect((await client.ask('web1.test', 'rpcutil', 'ping')).statuscode).toBe(0);
    expect((await client.ask('web1.test', 'rpcutil', 'inventory')).statuscode).toBe(1);
  });

  test.skipIf(program === undefined)("reaches nodes with Choria's own client", async () => {
    const config = writeConfig(folder, `choria-${way.length}.conf`, { ...settings(), ...signer(), discovery_timeout: 2 });
    const ran = await choria('req', 'rpcutil', 'ping', '--json', '--config', config);
    expect(ran).toMatchObject({ code: 0 });
    const { replies } = JSON.parse(ran.out) as { replies: { sender: string; statuscode: number }[] };
    expect(replies).toMatchObject([{ sender: 'web1.test', statuscode: 0 }]);
  });
});

test("a client that does as Choria's does gets an answer in its own inbox, and none in those of others", async () => {
  const seed = Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), Buffer.from(anna.seed, 'hex')]);
  const key = createPrivateKey({ key: seed, format: 'der', type: 'pkcs8' });
  const connection = await connect({
    servers: `localhost:${port}`,
    tls: { rejectUnauthorized: false },
    reconnect: false,
    authenticator: (nonce) => ({
      auth_token: anna.token,
      jwt: anna.token,
      sig: sign(null, Buffer.from(nonce ?? ''), key).toString('base64url'),
    }),
  });
  try {
    const text = service.text({ caller: 'up=anna' });
    const { body } = await service.sign(anna, text);
    const inbox = `mcollective.reply.${createHash('md5').update('up=anna').digest('hex')}.1`;
    const replies = connection.subscribe(inbox, { max: 1, timeout: 10_000 });
    const transport = {
      protocol: 'choria:transport:1',
      data: body.secure_request,
      headers: { 'reply-to': inbox, mc_sender: 'desk.test' },
    };
    connection.publish('mcollective.node.web1.test', JSON.stringify(transport));
    for await (const { data } of replies) {
      const { data: secure } = JSON.parse(Buffer.from(data).toString()) as { data: string };
      const { message } = JSON.parse(Buffer.from(secure, 'base64').toString()) as { message: string };
      const { envelope, message: reply } = JSON.parse(message) as { envelope: object; message: string };
      expect(envelope).toMatchObject({ senderid: 'web1.test', agent: 'rpcutil' });
      expect(JSON.parse(reply)).toMatchObject({ statuscode: 0 });
    }
    const refused: string[] = [];
    connection.subscribe('mcollective.reply.*.>', {
      callback: (error) => void refused.push(error?.message ?? 'heard something'),
    });
    await until('other inboxes are refused', () => refused.length > 0);
    expect(refused.join()).toMatch(/permissions violation/i);
  } finally {
    await connection.close();
  }
});

/** Without an input: from a pipe it would read nodes. */
function choria(...args: string[]): Promise<{ readonly code: number | null; readonly out: string; readonly err: string }> {
  return new Promise((resolve) => {
    const env = { ...process.env, USER: 'anna', HOME: folder };
    const child = spawn(program ?? '', args, { env, timeout: 40_000, stdio: ['ignore', 'pipe', 'pipe'] });
    let [out, err] = ['', ''];
    child.stdout.on('data', (chunk: Buffer) => {
      out += chunk;
    });
    child.stderr.on('data', (chunk: Buffer) => {
      err += chunk;
    });
    child.once('close', (code) => resolve({ code, out, err }));
  });
}
