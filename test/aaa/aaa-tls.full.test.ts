// A service with TLS, from login to the answer of a node: who is verified, what is offered, and certificates that are replaced.

import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import { hash } from '@node-rs/bcrypt';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { issueFiles, openAuthority } from '../../plugins/overlay/ca.ts';
import { seedHex } from '../../plugins/wire/tokens/ed25519.ts';
import { runMuster, writeConfig } from '../support/command.ts';
import { patience } from '../support/discovery.ts';
import { Fleet } from '../support/fleet.ts';
import { temporaryFolder, until } from '../support/folders.ts';
import { startHost } from '../support/hosts.ts';
import { runWithInput } from '../support/login-cli.ts';
import { SignerService } from '../support/signer-service.ts';

const { path: folder, remove } = temporaryFolder();
const [certificate, key, seed] = ['https.pem', 'https.key', 'login.seed'].map((name) => join(folder, name)) as [
  string,
  string,
  string,
];
let fleet: Fleet;
let service: SignerService;

async function takeCertificate(name: string): Promise<void> {
  const files = await issueFiles(fleet.authority, { commonName: name, names: ['localhost', '127.0.0.1'] });
  copyFileSync(files.key, key);
  copyFileSync(files.cert, certificate);
}

beforeAll(async () => {
  fleet = await Fleet.start();
  await takeCertificate('aaa1.test');
  const users = [{ username: 'anna', password: await hash('open:sesame', 4), acls: ['rpcutil.ping'] }];
  const authenticator = { users, validity: '1h', signing_key: seed };
  const settings = {
    disable_tls: false,
    tls_certificate: certificate,
    tls_key: key,
    authenticator: 'userlist',
    userlist_authenticator: authenticator,
    authorizer: 'actionlist',
    auditors: ['logfile'],
    logfile_auditor: { logfile: join(folder, 'audit.log') },
  };
  const options = { settings, start: false };
  service = await SignerService.start(fleet.authority, options);
  writeFileSync(seed, seedHex(service.issuer), { mode: 0o600 });
  service.host = await startHost(await service.configure(fleet.authority, options));
  await fleet.node('web1.test', { policies: { rpcutil: ['policy default deny', 'allow\tup=anna\t*\t*\t*'] } });
});
afterAll(async () => {
  await service.stop();
  await fleet.stop();
  remove();
});

async function clientConfig(name: string, over: object = {}): Promise<string> {
  return writeConfig(folder, `${name}.conf`, {
    ...(await fleet.certificate('desk.test')),
    ...patience,
    identity: 'desk.test',
    'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
    'plugin.login.aaasvc.login.url': `https://localhost:${service.port}/choria/v1/login`,
    'plugin.choria.security.request_signer.url': `https://localhost:${service.port}/choria/v1/sign`,
    'plugin.choria.security.request_signer.token_file': join(folder, `${name}.jwt`),
    ...over,
  });
}

describe('a user', () => {
  test('logs in, is answered by nodes, and reads why he is refused', async () => {
    const config = await clientConfig('anna');
    const env = { USER: 'anna' };
    const login = await runWithInput(['login', '--user', 'anna', '--config', config], 'open:sesame\n');
    expect(login).toMatchObject({ code: 0, err: '' });
    const good = await runMuster(['req', 'rpcutil', 'ping', '-I', 'web1.test', '--json', '--config', config], env);
    expect(JSON.parse(good.out).replies).toMatchObject([{ sender: 'web1.test', statuscode: 0 }]);
    expect((await runMuster(['ping', '--config', config], env)).out).toMatch(/^web1\.test/m);
    const refused = await runMuster(['req', 'rpcutil', 'agent_inventory', '-I', 'web1.test', '--config', config], env);
    expect(refused.code).toBe(1);
    expect(refused.err).toMatch(/the signer refused the request \(Request denied\): .*rpcutil/);
    expect(`${good.err}${refused.err}`).not.toContain('open:sesame');
  });

  test('whose token is mostly over signs with a new one', async () => {
    const config = await clientConfig('late');
    const anna = await service.user('anna', { now: new Date(Date.now() - 3_000_000), agents: ['rpcutil.ping'] });
    writeFileSync(join(folder, 'late.jwt'), anna.token, { mode: 0o600 });
    writeFileSync(join(folder, 'late.key'), anna.seed, { mode: 0o600 });
    expect((await runMuster(['ping', '--config', config])).out).toMatch(/^web1\.test/m);
    const after = readFileSync(join(folder, 'late.jwt'), 'utf8');
    const claims = (token: string) => JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
    expect(claims(after).exp).toBeGreaterThan(claims(anna.token).exp + 1_000);
    expect(claims(after).public_key).toBe(claims(anna.token).public_key);
  });

  test('shows nothing to a service that nobody he trusts vouches for', async () => {
    const other = await openAuthority(join(folder, 'other'), 'Other CA');
    const { ca } = await issueFiles(other, { commonName: 'x.test' });
    const config = await clientConfig('careful', { 'plugin.muster.login.ca': ca });
    const file = join(folder, 'careful.jwt');
    copyFileSync(join(folder, 'anna.jwt'), file);
    copyFileSync(join(folder, 'anna.key'), join(folder, 'careful.key'));
    const { code, err } = await runMuster(['ping', '--config', config]);
    expect(code).toBe(1);
    expect(err).toMatch(/no service signs requests now: https:\/\/localhost:\d+: .*certificate/);
  });
});

function dial(options: ConnectionOptions): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: '127.0.0.1', port: service.port, rejectUnauthorized: false, ...options }, () =>
      resolve(socket),
    );
    socket.once('error', reject);
  });
}

describe('the listener', () => {
  test.each([
    ['TLS 1.3', {}, 'TLSv1.3'],
    ['TLS 1.2 with the curve of clients of Choria', { maxVersion: 'TLSv1.2', ecdhCurve: 'P-256' }, 'TLSv1.2'],
  ] as const)('speaks %s', async (_what, options, protocol) => {
    const socket = await dial(options);
    expect(socket.getProtocol()).toBe(protocol);
    socket.destroy();
  });

  test.each([
    ['TLS 1.1', { minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }],
    ['a cipher without forward secrecy', { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA' }],
  ] as const)('does not speak %s', async (_what, options) => {
    await expect(dial(options)).rejects.toThrow();
  });

  test('takes up a certificate that was replaced, and leaves one that does not fit its key', async () => {
    const subject = async () => {
      const socket = await dial({});
      const { CN } = socket.getPeerCertificate().subject;
      socket.destroy();
      return CN;
    };
    expect(await subject()).toBe('aaa1.test');
    await takeCertificate('aaa2.test');
    await until('the new one is shown', async () => (await subject()) === 'aaa2.test');
    writeFileSync(certificate, 'nothing');
    await until('it is told of', () =>
      service.host?.log.some(({ message }) => message.includes('can not be taken up, the one before it stays')),
    );
    expect(await subject()).toBe('aaa2.test');
  });
});

test('where every client must show a certificate, others get no answer', async () => {
  const files = await issueFiles(fleet.authority, { commonName: 'aaa3.test', names: ['localhost'] });
  const own = await issueFiles(fleet.authority, { commonName: 'desk.test' });
  const settings = { disable_tls: false, tls_certificate: files.cert, tls_key: files.key, tls_ca: files.ca };
  const strict = await SignerService.start(fleet.authority, { settings });
  const ask = async (options: ConnectionOptions) => {
    const socket = await dial({ port: strict.port, ...options });
    const answer = new Promise<string>((resolve, reject) => {
      socket.once('data', (data) => resolve(data.toString()));
      socket.once('error', reject).once('close', () => reject(new Error('closed')));
    });
    socket.write('GET /choria/v1/sign HTTP/1.1\r\nHost: x\r\n\r\n');
    return answer.finally(() => socket.destroy());
  };
  try {
    await expect(ask({})).rejects.toThrow();
    expect(await ask({ cert: readFileSync(own.cert), key: readFileSync(own.key) })).toContain('405');
  } finally {
    await strict.stop();
  }
});
