// Against Choria's own AAA service, where that is at hand: `AAASVC`, or `aaasvc` on PATH.

import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { issueFiles, openAuthority } from '../../plugins/overlay/ca.ts';
import { verifyClientToken } from '../../plugins/wire/tokens/client.ts';
import { keyFromSeed, publicFromHex, publicHex } from '../../plugins/wire/tokens/ed25519.ts';
import { ed25519Verification } from '../../plugins/wire/tokens/jwt.ts';
import { writeConfig } from '../support/command.ts';
import { freePort, temporaryFolder, until } from '../support/folders.ts';
import { runWithInput } from '../support/login-cli.ts';

const onPath = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'aaasvc'));
const program = [process.env.AAASVC ?? '', ...onPath].find((path) => path !== '' && existsSync(path));
const password = 'canary of anna';
const seed = '25'.repeat(32);

describe.skipIf(program === undefined)("muster login at Choria's AAA service", () => {
  const { path: folder, remove } = temporaryFolder();
  const file = (name: string) => join(folder, name);
  let service: ChildProcess;
  let port: number;

  beforeAll(async () => {
    const authority = await openAuthority(file('ca'), 'aaa ca');
    const { cert, key, ca } = await issueFiles(authority, { commonName: 'localhost', names: ['localhost'] });
    port = await freePort();
    const hash = await (await import('@node-rs/bcrypt')).hash(password, 5);
    writeFileSync(file('seed'), seed);
    const choria = writeConfig(folder, 'service.conf', {
      identity: 'localhost',
      'plugin.security.provider': 'file',
      'plugin.security.file.certificate': cert,
      'plugin.security.file.key': key,
      'plugin.security.file.ca': ca,
      'plugin.choria.middleware_hosts': 'localhost:4222',
    });
    const settings = {
      port,
      tls_certificate: cert,
      tls_key: key,
      choria_config: choria,
      authenticator: 'userlist',
      userlist_authenticator: {
        validity: '1h',
        signing_key: file('seed'),
        users: [{ username: 'anna', password: hash, acls: ['*'] }],
      },
    };
    writeFileSync(file('aaa.json'), JSON.stringify(settings));
    service = spawn(program ?? '', ['run', '--config', file('aaa.json')], {
      stdio: 'ignore',
      env: { ...process.env, USER: 'root' },
    });
    await until('it listens', () => accepts(port));
    mkdirSync(file('client'));
  });
  afterAll(async () => {
    const ended = new Promise((resolve) => service?.once('exit', resolve));
    if (service?.exitCode === null && service.kill('SIGTERM')) await ended;
    remove();
  });

  const login = (typed: string, args: readonly string[] = []) => {
    const config = writeConfig(folder, 'client.conf', {
      'plugin.login.aaasvc.login.url': `https://localhost:${port}/choria/v1/login`,
      'plugin.choria.security.request_signer.token_file': file('client/client.jwt'),
      'plugin.security.provider': 'file',
      'plugin.security.file.ca': file('ca/ca.pem'),
    });
    return runWithInput(['login', '--user', 'anna', '--config', config, ...args], `${typed}\n`);
  };

  it('gets a token, and is refused as others are', async () => {
    const refused = await login('wrong');
    expect(refused).toMatchObject({ code: 1, out: '' });
    expect(refused.err).toContain('the login service refused: Login failed');
    expect(existsSync(file('client/client.jwt'))).toBe(false);
    const ran = await login(password);
    expect(ran.code, ran.err).toBe(0);
    const signers = [ed25519Verification(publicFromHex(publicHex(keyFromSeed(seed))))];
    const claims = await verifyClientToken(readFileSync(file('client/client.jwt'), 'utf8'), { signers });
    const own = publicHex(keyFromSeed(readFileSync(file('client/client.key'), 'utf8')));
    expect(claims).toMatchObject({ callerid: 'up=anna', agents: ['*'], public_key: own });
  });

  it('offers passwords only', async () => {
    const ran = await login(password, ['--method', 'oidc']);
    expect(ran.code).toBe(1);
    expect(ran.err).toContain('this login service knows passwords only, and no method oidc');
  });
});

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createConnection(port, 'localhost');
    probe.once('error', () => resolve(false));
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
  });
}
