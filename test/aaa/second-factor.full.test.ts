import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { URI } from 'otpauth';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readFactorKey, sealFactor } from '../../plugins/wire/aaa/second-factors.ts';
import { codeAt } from '../../plugins/wire/aaa/totp.ts';
import { writeConfig } from '../support/command.ts';
import { until } from '../support/folders.ts';
import { runWithInput } from '../support/login-cli.ts';
import { FakeProvider } from '../support/login-fake-provider.ts';
import { LoginKey, LoginService } from '../support/login-service.ts';
import { NatsServer } from '../support/nats.ts';

const password = 'correct horse canary';

describe('a second factor', () => {
  let service: LoginService;
  let config: string;
  /** Unix milliseconds of the service; codes don't change while a test looks. */
  let now = Date.now();
  const clock = () => join(service.folder, 'clock');
  const at = (seconds: number) => {
    now += seconds * 1_000;
    writeFileSync(clock(), String(now));
  };
  const muster = (args: readonly string[], input = '') => runWithInput([...args, '--config', config], input);
  const login = async (typed: string) => (await service.login('anna', typed, { now })).body;
  const codeOf = (uri: string) => URI.parse(uri).generate({ timestamp: now });

  beforeAll(async () => {
    service = await LoginService.start(
      (folder) => {
        writeFileSync(join(folder, 'seed'), '13'.repeat(32));
        writeFileSync(join(folder, 'clock'), String(now));
        mkdirSync(join(folder, 'client'));
        return {
          authenticator: 'userlist',
          login: {
            failures_by_user: 1_000,
            second_factor: { file: join(folder, 'factors.json'), key: join(folder, 'factors.key') },
          },
          userlist_authenticator: { validity: '1h', users_file: join(folder, 'users.json'), signing_key: join(folder, 'seed') },
        };
      },
      {},
      (folder) => {
        writeFileSync(join(folder, 'users.json'), '[]');
        writeFileSync(join(folder, 'factors.json'), '{"users":{}}');
        writeFileSync(join(folder, 'factors.key'), '7f'.repeat(32), { mode: 0o600 });
        return { 'login.test.now': join(folder, 'clock') };
      },
    );
    config = writeConfig(service.folder, 'aaa.conf', { 'plugin.aaa.config': join(service.folder, 'aaa.json') });
  });
  afterAll(() => service?.stop());

  it('is given to a user who was added on the command line, and asked of him from then on', async () => {
    const added = await muster(
      ['aaa', 'user', 'add', 'anna', '--acl', 'webstack.*,rpcutil.ping', '--property', 'team=edge'],
      `${password}\n`,
    );
    expect(added, added.err).toMatchObject({ code: 0 });
    expect(statSync(join(service.folder, 'users.json')).mode & 0o777).toBe(0o600);
    expect((await login(password)).token).toBeDefined();

    const enrolled = await muster(['aaa', 'user', 'totp', 'anna', '--json']);
    const { uri, recovery_codes: recovery } = JSON.parse(enrolled.out) as { uri: string; recovery_codes: string[] };
    const [first = '', second = ''] = recovery;
    expect(await login(password)).toEqual({ error: 'Login failed' });
    expect((await login(`${password}${codeOf(uri)}`)).token).toBeDefined();
    // The same code, and the one before it, are good for nothing any more.
    expect(await login(`${password}${codeOf(uri)}`)).toEqual({ error: 'Login failed' });
    const wrong = String((Number(codeOf(uri)) + 1) % 1_000_000).padStart(6, '0');
    expect(await login(`${password}${wrong}`)).toEqual({ error: 'Login failed' });
    at(30);
    expect(await login(`wrong${codeOf(uri)}`)).toEqual({ error: 'Login failed' });
    expect((await login(`${password}${codeOf(uri)}`)).token).toBeDefined();

    expect((await login(`${password} ${first}`)).token).toBeDefined();
    expect(await login(`${password} ${first}`)).toEqual({ error: 'Login failed' });
    expect((await login(`${password} ${second.toUpperCase()}`)).token).toBeDefined();

    const kept = readFileSync(join(service.folder, 'factors.json'), 'utf8');
    const { secret } = URI.parse(uri);
    for (const text of [secret.base32, secret.hex, first, first.replace('-', '')])
      expect(kept + service.said).not.toContain(text);
    for (const text of [password, secret.base32, codeOf(uri), second])
      expect(service.said + added.out + added.err).not.toContain(text);
  });

  it('is taken by muster login from a second line, by whichever way it logs in', async () => {
    const { uri, recovery_codes: recovery } = JSON.parse((await muster(['aaa', 'user', 'totp', 'anna', '--json'])).out) as {
      uri: string;
      recovery_codes: string[];
    };
    const client = writeConfig(service.folder, 'client.conf', {
      'plugin.login.aaasvc.login.url': `${service.url}/choria/v1/login`,
      'plugin.choria.security.request_signer.token_file': join(service.folder, 'client/client.jwt'),
    });
    const logIn = (args: readonly string[], code: string) => {
      // A moment after the client signs, by its own clock.
      now = Date.now() + 30_000;
      writeFileSync(clock(), String(now));
      const typed = code === 'now' ? codeOf(uri) : code;
      return runWithInput(['login', '--user', 'anna', '--config', client, ...args], `${password}\n${typed}\n`);
    };
    for (const [args, code] of [
      [[], 'now'],
      [['--method', 'userlist'], recovery[0] ?? ''],
      [[], recovery[1] ?? ''],
    ] as const) {
      const ran = await logIn(args, code);
      expect(ran.code, ran.err).toBe(0);
    }
    expect((await logIn(['--method', 'userlist'], recovery[0] ?? '')).code).toBe(1);
    expect((await logIn(['--method', 'nothing'], '')).err).toContain('this login service has no method nothing; it has userlist');
  });

  it('is lost with its codes when it is made anew, and goes when it is removed', async () => {
    const { uri } = JSON.parse((await muster(['aaa', 'user', 'totp', 'anna', '--json'])).out) as { uri: string };
    expect((await login(`${password}${codeOf(uri)}`)).token).toBeDefined();
    expect((await muster(['aaa', 'user', 'totp', 'anna', '--remove'])).code).toBe(0);
    expect((await login(password)).token).toBeDefined();
  });

  it('is shown in the list, and passwords are changed, asked for and never given as arguments', async () => {
    expect((await muster(['aaa', 'user', 'add', 'anna'], 'another one\n')).err).toContain('anna is in');
    expect((await muster(['aaa', 'user', 'add', 'a.b'], 'short\n')).err).toContain('fewer than 8 characters');
    expect((await muster(['aaa', 'user', 'passwd', 'stranger'], 'another one\n')).err).toContain('there is no user stranger');
    const changed = await muster(['aaa', 'user', 'passwd', 'anna'], 'another one canary\n');
    expect(changed).toMatchObject({ code: 0 });
    expect(await login(password)).toEqual({ error: 'Login failed' });
    expect((await login('another one canary')).token).toBeDefined();
    const listed = await muster(['aaa', 'user', 'list', '--json']);
    expect(JSON.parse(listed.out)).toMatchObject([
      { username: 'anna', acls: ['webstack.*', 'rpcutil.ping'], second_factor: false },
    ]);
    expect(listed.out).not.toContain('argon2');
    const several = ['one', 'two', 'three'];
    await Promise.all(several.map((name) => muster(['aaa', 'user', 'add', name], 'a password of theirs\n')));
    const all = JSON.parse((await muster(['aaa', 'user', 'list', '--json'])).out) as { username: string }[];
    expect(all.map(({ username }) => username).sort()).toEqual(['anna', ...several].sort());
    expect(existsSync(join(service.folder, 'users.json.lock'))).toBe(false);
    expect(readFactorKey(join(service.folder, 'factors.key'))).toHaveLength(32);
  });
});

describe('a code of a user', () => {
  it('is good once, at whichever of several services, and not at all while they can not ask each other', async () => {
    const nats = await NatsServer.start();
    const { hash } = await import('@node-rs/bcrypt');
    const user = { username: 'anna', password: await hash(password, 4) };
    const [key, secret] = [Buffer.alloc(32, 9), Buffer.alloc(20, 8)];
    const factor = sealFactor('up=anna', { secret, recoveryCodes: ['abcde-fghjk', 'mnpqr-stuvw'] }, key);
    const start = () =>
      LoginService.start(
        (folder) => {
          writeFileSync(join(folder, 'seed'), '14'.repeat(32));
          writeFileSync(join(folder, 'factors.json'), JSON.stringify({ users: { 'up=anna': factor } }));
          writeFileSync(join(folder, 'factors.key'), key.toString('hex'));
          return {
            authenticator: 'userlist',
            login: { second_factor: { file: join(folder, 'factors.json'), key: join(folder, 'factors.key'), required: true } },
            userlist_authenticator: { validity: '1h', users: [user], signing_key: join(folder, 'seed') },
          };
        },
        { config: { 'login.test.broker': `nats://127.0.0.1:${nats.port}` } },
      );
    const services = [await start(), await start()];
    const everywhere = (typed: string) => Promise.all(services.map((one) => one.login('anna', typed)));
    try {
      for (const typed of [`${password}${await codeAt(secret, Math.floor(Date.now() / 30_000))}`, `${password} abcde-fghjk`]) {
        const answers = await everywhere(typed);
        expect(answers.map(({ body }) => Object.keys(body)[0]).sort()).toEqual(['error', 'token']);
        expect((await everywhere(typed)).map(({ body }) => body)).toEqual(Array(2).fill({ error: 'Login failed' }));
      }
      await nats.kill();
      expect((await everywhere(`${password} mnpqr-stuvw`)).map(({ body }) => body)).toEqual(
        Array(2).fill({ error: 'Login failed' }),
      );
    } finally {
      await Promise.all(services.map((one) => one.stop()));
      await nats.stop();
    }
  });
});

describe('single sign-on', () => {
  const secret = Buffer.alloc(20, 7);
  const key = Buffer.alloc(32, 6);

  async function start(
    provider: FakeProvider,
    config: Readonly<Record<string, unknown>> = {},
    { failuresByUser = 10, recoveryCodes = [] as readonly string[] } = {},
  ): Promise<LoginService> {
    return LoginService.start(
      (folder) => {
        writeFileSync(join(folder, 'seed'), '23'.repeat(32));
        const factor = sealFactor('oidc=ann', { secret, recoveryCodes }, key);
        writeFileSync(join(folder, 'factors.json'), JSON.stringify({ users: { 'oidc=ann': factor } }));
        writeFileSync(join(folder, 'factors.key'), key.toString('hex'));
        return {
          authenticator: 'oidc',
          login: {
            failures_by_user: failuresByUser,
            second_factor: { file: join(folder, 'factors.json'), key: join(folder, 'factors.key') },
          },
          oidc_authenticator: {
            issuer: provider.issuer,
            client_id: 'muster',
            validity: '1h',
            signing_key: join(folder, 'seed'),
            everybody: { agents: ['*'] },
            groups: { careful: { second_factor: true } },
          },
        };
      },
      { config },
    );
  }

  async function send(service: LoginService, credential: string, code?: string, address?: string) {
    const token = new LoginKey();
    const timestamp = String(Math.floor(Date.now() / 1_000));
    const signature = token.sign(`${timestamp}:oidc::${credential}`);
    const body = { method: 'oidc', credential, timestamp, public_key: token.publicKey, signature };
    return (await service.post('/muster/v1/login', { ...body, ...(code !== undefined && { code }) }, address)).body;
  }

  it('asks for a code of ours as well, of whoever has a second factor or must have one', async () => {
    const provider = await FakeProvider.start();
    const service = await start(provider);
    try {
      const code = await codeAt(secret, Math.floor(Date.now() / 30_000));
      expect(await send(service, await provider.sign({}))).toEqual({ error: 'Login failed' });
      expect(await send(service, await provider.sign({}), '000000')).toEqual({ error: 'Login failed' });
      expect((await send(service, await provider.sign({}), code)).token).toBeDefined();
      expect(await send(service, await provider.sign({}), code)).toEqual({ error: 'Login failed' });
      expect((await send(service, await provider.sign({ sub: 'bob' }))).token).toBeDefined();
      expect(await send(service, await provider.sign({ sub: 'carla', groups: ['careful'] }), code)).toEqual({
        error: 'Login failed',
      });
      expect(service.said).toContain('oidc=carla: the user must have a second factor, and has none');
    } finally {
      await service.stop();
      await provider.stop();
    }
  });

  it('takes an ID token once, at whichever of several services', async () => {
    const [nats, provider] = [await NatsServer.start(), await FakeProvider.start()];
    const config = { 'login.test.broker': `nats://127.0.0.1:${nats.port}` };
    const services = [await start(provider, config), await start(provider, config)];
    try {
      const token = await provider.sign({ sub: 'bob' });
      const answers = await Promise.all(services.map((service) => send(service, token)));
      expect(answers.map((body) => Object.keys(body)[0]).sort()).toEqual(['error', 'token']);
    } finally {
      await Promise.all(services.map((service) => service.stop()));
      await provider.stop();
      await nats.stop();
    }
  });

  it('counts wrong codes of a user together at all services, and a right one clears them', async () => {
    const [nats, provider] = [await NatsServer.start(), await FakeProvider.start()];
    const config = { 'login.test.broker': `nats://127.0.0.1:${nats.port}` };
    const recoveryCodes = ['abcde-fghjk', 'mnpqr-stuvw', 'bcdef-ghjkm'];
    const more = { failuresByUser: 3, recoveryCodes };
    const [first, second] = [await start(provider, config, more), await start(provider, config, more)];
    let addresses = 0;
    const anywhere = () => {
      addresses += 1;
      return `10.2.${Math.floor(addresses / 250)}.${addresses % 250}`;
    };
    const logIn = async (at: LoginService, code: string) => send(at, await provider.sign({}), code, anywhere());
    const wrong = async (at: LoginService, times: number) => {
      for (let index = 0; index < times; index += 1) expect(await logIn(at, '000000')).toEqual({ error: 'Login failed' });
    };
    const limited = ({ said }: LoginService) => said.split('too many wrong logins of this user').length;
    const areHeard = async (from: LoginService, to: LoginService) => {
      const [address, before] = [anywhere(), limited(to)];
      for (let index = 0; index < 3; index += 1) await send(from, 'garbage', undefined, address);
      await send(to, 'garbage', undefined, address);
      return limited(to) > before;
    };
    const [one = '', two = '', three = ''] = recoveryCodes;
    try {
      await until('they hear each other', async () => (await areHeard(first, second)) && (await areHeard(second, first)));
      await wrong(first, 2);
      await until('it is heard', () => areHeard(first, second));
      expect((await logIn(second, one)).token).toBeDefined();
      await until('it is heard', () => areHeard(second, first));
      await wrong(first, 2);
      expect((await logIn(first, two)).token).toBeDefined();
      await wrong(first, 3);
      await until('it is heard', () => areHeard(first, second));
      expect(await logIn(second, three)).toEqual({ error: 'Login failed' });
      expect(second.said).toContain('oidc=ann: too many wrong codes of the second factor');
    } finally {
      await Promise.all([first, second].map((service) => service.stop()));
      await provider.stop();
      await nats.stop();
    }
  });
});
