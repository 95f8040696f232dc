import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { filesOf } from '../../plugins/aaa-client/login/config.ts';
import { refreshed } from '../../plugins/aaa-client/login/refresh.ts';
import { makeClientToken } from '../../plugins/wire/tokens/client.ts';
import { keyFromSeed, publicHex } from '../../plugins/wire/tokens/ed25519.ts';
import { writeConfig } from '../support/command.ts';
import { freePort, temporaryFolder } from '../support/folders.ts';
import { runWithInput } from '../support/login-cli.ts';
import { LoginService } from '../support/login-service.ts';

const password = 'open:sesame canary';
const seed = '12'.repeat(32);

describe('muster login', () => {
  let service: LoginService;
  let client: string;
  let config: string;
  const files = () => ({ token: join(client, '.choria/client.jwt'), seed: join(client, '.choria/client.key') });
  const configFor = (url: string) =>
    writeConfig(client, 'client.conf', {
      'plugin.login.aaasvc.login.url': url,
      'plugin.choria.security.request_signer.token_file': files().token,
    });

  beforeAll(async () => {
    const { hash } = await import('@node-rs/bcrypt');
    const users = [{ username: 'anna', password: await hash(password, 4), acls: ['*'] }];
    service = await LoginService.start((folder) => {
      writeFileSync(join(folder, 'seed'), seed);
      return {
        authenticator: 'userlist',
        userlist_authenticator: { validity: '2h', users, signing_key: join(folder, 'seed') },
        login: { second_factor: { file: join(folder, 'factors.json'), key: join(folder, 'factors.key') } },
      };
    });
    client = join(service.folder, 'client');
    mkdirSync(client);
    // The first of them is not there, and the next is asked.
    config = configFor(`http://127.0.0.1:${await freePort()}/choria/v1/login, ${service.url}/choria/v1/login`);
  });
  afterAll(() => service?.stop());

  it('writes nothing when the password is wrong, and shows it nowhere', async () => {
    const ran = await runWithInput(['login', '--user', 'anna', '--config', config], 'canary-wrong\n');
    expect(ran).toMatchObject({ code: 1, out: '' });
    expect(ran.err).toContain('the login service refused: Login failed');
    expect(ran.err).not.toContain('canary');
    expect(existsSync(join(client, '.choria'))).toBe(false);
  });

  it('says that a code was missing only to whoever gave none', async () => {
    const login = ['login', '--user', 'anna', '--config', config];
    const hint = 'no code was given';
    expect((await runWithInput(login, 'wrong\n')).err).toContain(`Login failed (${hint}; where a second factor is in use`);
    const given = await runWithInput(login, 'wrong\n123456\n');
    expect(given.err).toContain('the login service refused: Login failed');
    expect(given.err).not.toContain(hint);
  });

  it('keeps token and seed of a login, for their owner alone, and removes them again', async () => {
    const ran = await runWithInput(['login', '--user', 'anna', '--json', '--config', config], `${password}\n`);
    expect(ran.code, ran.err).toBe(0);
    expect(JSON.parse(ran.out)).toMatchObject({ callerid: 'up=anna', token_file: files().token, seed_file: files().seed });
    const [token, kept] = [readFileSync(files().token, 'utf8'), readFileSync(files().seed, 'utf8')];
    expect(decodeJwt(token)).toMatchObject({ callerid: 'up=anna', public_key: publicHex(keyFromSeed(kept)) });
    expect([files().token, files().seed].map((file) => statSync(file).mode & 0o777)).toEqual([0o600, 0o600]);
    expect(statSync(join(client, '.choria')).mode & 0o777).toBe(0o700);
    expect(`${ran.out}${ran.err}${service.said}`).not.toContain('canary');

    const again = await runWithInput(['login', '--user', 'anna', '--config', config], 'wrong\n');
    expect(again.code).toBe(1);
    expect([readFileSync(files().token, 'utf8'), readFileSync(files().seed, 'utf8')]).toEqual([token, kept]);
    expect(readdirSync(join(client, '.choria')).sort()).toEqual(['client.jwt', 'client.key']);

    expect((await runWithInput(['logout', '--config', config], '')).code).toBe(0);
    expect(readdirSync(join(client, '.choria'))).toEqual([]);
  });

  it('does not repeat a password at another service when one answers nonsense, and keeps nothing of it', async () => {
    const asked: string[] = [];
    const liar = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      request.resume().once('end', () => response.writeHead(request.method === 'GET' ? 404 : 500).end('<html>'));
    });
    const port = await freePort();
    await new Promise<void>((resolve) => liar.listen(port, '127.0.0.1', resolve));
    try {
      const both = configFor(`http://127.0.0.1:${port}/choria/v1/login, ${service.url}/choria/v1/login`);
      const ran = await runWithInput(['login', '--user', 'anna', '--config', both], `${password}\n`);
      expect(ran).toMatchObject({ code: 1, out: '' });
      expect(ran.err).toContain('the login service answered with status 500');
      expect(asked).toEqual(['GET /muster/v1/login/methods', 'POST /choria/v1/login']);
      expect(readdirSync(join(client, '.choria'))).toEqual([]);
    } finally {
      liar.close();
    }
  });

  it('has a new token when two thirds of its life are over, and keeps the old one when nobody gives another', async () => {
    const { path, remove } = temporaryFolder();
    try {
      const own = { token: join(path, 'client.jwt'), seed: join(path, 'client.key') };
      const key = keyFromSeed('55'.repeat(32));
      const issued = (ageSeconds: number) =>
        makeClientToken(
          {
            callerid: 'up=anna',
            publicKey: publicHex(key),
            validitySeconds: 600,
            now: new Date(Date.now() - ageSeconds * 1_000),
          },
          { key: { algorithm: 'EdDSA', key: keyFromSeed(seed) } },
        );
      writeFileSync(own.seed, '55'.repeat(32));
      const urls = [new URL(`${service.url}/choria/v1/login`)];
      const problems: string[] = [];
      const use = (at: readonly URL[]) => refreshed({ urls: at, tls: {} }, own, (message) => problems.push(message));

      const young = await issued(300);
      writeFileSync(own.token, young);
      expect(await use(urls)).toBe(young);

      const old = await issued(450);
      writeFileSync(own.token, `${old}\n`);
      expect(await use([new URL(`http://127.0.0.1:${await freePort()}/choria/v1/login`)])).toBe(old);
      expect(problems).toHaveLength(1);
      const several = await Promise.all(Array.from({ length: 5 }, () => use(urls)));
      const [fresh = ''] = several;
      expect(fresh).not.toBe(old);
      expect(new Set(several)).toEqual(new Set([fresh]));
      expect(readFileSync(own.token, 'utf8')).toBe(fresh);
      expect(decodeJwt(fresh)).toMatchObject({ callerid: 'up=anna', public_key: publicHex(key), auth_time: decodeJwt(old).iat });
    } finally {
      remove();
    }
  });

  it.each([
    ['/home/anna/.choria/client.jwt', '/home/anna/.choria/client.key'],
    ['/home/anna/.choria/token', '/home/anna/.choria/token.key'],
    ['/home/anna/.choria_token', '/home/anna/.key'],
    ['/home/anna/.choria.token', '/home/anna/.choria.key'],
    ['/home/anna.lee/token', '/home/anna.lee/token.key'],
  ])('keeps the seed of %s in %s', (token, expected) => {
    expect(filesOf({ 'plugin.choria.security.request_signer.token_file': token }).seed).toBe(expected);
  });
});
