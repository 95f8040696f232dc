import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/folders.ts';
import { seedOf } from '../support/fuzz-run.ts';
import { fuzzLogins } from '../support/login-fuzz.ts';
import { LoginKey, LoginService, loginBody } from '../support/login-service.ts';

const password = 'canary of anna';

describe('logins under attack', () => {
  const services: LoginService[] = [];
  let hashed = '';
  const start = async (login: object, isWhole = false) => {
    const begin = isWhole ? LoginService.startWhole : LoginService.start;
    const service = await begin((folder) => {
      writeFileSync(join(folder, 'seed'), '21'.repeat(32));
      const users = [
        { username: 'anna', password: hashed },
        { username: 'bob', password: hashed },
      ];
      return {
        authenticator: 'userlist',
        login,
        userlist_authenticator: { validity: '1h', users, signing_key: join(folder, 'seed') },
      };
    });
    services.push(service);
    return service;
  };

  beforeAll(async () => {
    hashed = await (await import('@node-rs/bcrypt')).hash(password, 4);
  });
  afterAll(async () => {
    for (const service of services) await service.stop();
  });

  it('take a thousand wrong passwords, most of them unseen, and stay there for others', async () => {
    const service = await start({});
    const guesses = Array.from({ length: 1_000 }, (_, index) =>
      service.login('anna', `guess-${index}`, { address: `10.0.0.${index % 200}` }),
    );
    const answers = await Promise.all(guesses);
    expect(new Set(answers.map(({ status, body }) => `${status} ${JSON.stringify(body)}`))).toEqual(
      new Set(['200 {"error":"Login failed"}']),
    );
    const checked = service.test.log.filter(({ message }) => message.includes('the password of anna is wrong')).length;
    expect(checked).toBe(10);
    expect((await service.login('anna', password)).body).toEqual({ error: 'Login failed' });
    expect((await service.login('bob', password)).body.token).toBeDefined();
    for (const secret of ['guess-', 'canary']) expect(service.said).not.toContain(secret);
  });

  it('refuse an address that tried too many users, and no other', async () => {
    const service = await start({ failures_by_address: 5 });
    const [here, there] = ['198.51.100.7', '198.51.100.8'];
    for (let index = 0; index < 6; index += 1) await service.login(`user-${index}`, 'x', { address: here });
    expect((await service.login('bob', password, { address: here })).body).toEqual({ error: 'Login failed' });
    expect((await service.login('bob', password, { address: there })).body.token).toBeDefined();
  });

  it('refuse an address that logs in without end', async () => {
    const service = await start({ logins_by_address: 3 });
    const one = () => service.login('bob', password, { address: '198.51.100.9' });
    expect((await Promise.all([one(), one(), one()])).every(({ body }) => body.token)).toBe(true);
    expect((await one()).body).toEqual({ error: 'Login failed' });
  });

  it('take as long for a user who is there as for one who is not', async () => {
    const service = await start({ failures_by_user: 1_000, failures_by_address: 1_000 });
    const time = async (name: string) => {
      const began = performance.now();
      await service.post('/choria/v1/login', loginBody(name, 'wrong', new LoginKey()));
      return performance.now() - began;
    };
    const times: Record<string, number[]> = { anna: [], stranger: [] };
    // Of a busy machine the shortest times tell; those of one who is not looked up stay apart, however often it is tried.
    await until('the shortest times are alike', async () => {
      for (const name of ['anna', 'stranger']) times[name]?.push(await time(name));
      const [known = 0, unknown = 0] = Object.values(times).map((each) => Math.min(...each));
      return (times.anna?.length ?? 0) >= 8 && Math.abs(known - unknown) < 100;
    });
  });

  it('give no token for a login that was damaged on its way, by dice', async () => {
    const service = await start({ failures_by_user: 1e6, failures_by_address: 1e6, logins_by_address: 1e6 }, true);
    const seed = seedOf(process.env.FUZZ_SEED);
    const { faults, granted } = await fuzzLogins(service, { seed, count: 5_000, user: 'anna', password });
    expect(faults, `FUZZ_SEED=${seed}`).toEqual([]);
    expect(granted).toBeGreaterThan(0);
  });
});
