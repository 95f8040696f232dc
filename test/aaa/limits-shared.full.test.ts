// Several instances of the service behind one name: whoever guesses at all of them is locked out at all of them.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../support/folders.ts';
import { LoginService } from '../support/login-service.ts';
import { NatsServer } from '../support/nats.ts';

const password = 'canary of anna';
const refused = { error: 'Login failed' };

describe('wrong logins at several instances', () => {
  let hashed = '';
  let nats: NatsServer;
  const services: LoginService[] = [];

  beforeAll(async () => {
    hashed = await (await import('@node-rs/bcrypt')).hash(password, 4);
    nats = await NatsServer.start();
    const start = () =>
      LoginService.start(
        (folder) => {
          writeFileSync(join(folder, 'seed'), '21'.repeat(32));
          const users = ['anna', 'bob', 'carl', 'dora'].map((username) => ({ username, password: hashed }));
          return {
            authenticator: 'userlist',
            login: { failures_by_address: 10_000, logins_by_address: 10_000 },
            userlist_authenticator: { validity: '1h', users, signing_key: join(folder, 'seed') },
          };
        },
        { config: { 'login.test.broker': `nats://127.0.0.1:${nats.port}` } },
      );
    for (let index = 0; index < 3; index += 1) services.push(await start());
  });
  afterAll(async () => {
    await Promise.all(services.map((service) => service.stop()));
    await nats.stop();
  });

  const at = (index: number): LoginService => {
    const service = services[index % services.length];
    if (!service) throw new Error('no such instance');
    return service;
  };
  const lookedAt = (user: string) =>
    services.flatMap(({ test }) => test.log).filter(({ message }) => message.includes(`the password of ${user} is wrong`)).length;
  const limited = (service: LoginService) =>
    service.test.log.filter(({ message }) => message.includes('too many wrong logins of this user')).length;

  it('are added up: a user who is locked out by guesses at one is locked out at the others', async () => {
    // Each has counted one, and told the others.
    for (const service of services) await service.login('anna', 'guess');
    for (let index = 0; index < 8; index += 1) expect((await at(0).login('anna', `guess-${index}`)).body).toEqual(refused);
    for (const service of services)
      await until('it is locked out', async () => {
        await service.login('anna', 'guess', { address: `10.0.0.${Math.floor(Math.random() * 250)}` });
        return limited(service) > 0;
      });
    // Those that came before the others had heard, and no more.
    expect(lookedAt('anna')).toBeLessThanOrEqual(20);
    for (const service of services) expect((await service.login('anna', password)).body).toEqual(refused);
    for (const service of services) expect((await service.login('bob', password)).body.token).toBeDefined();
  });

  it('by the thousand, all at once, are looked at by no instance more often than one alone would', async () => {
    const guesses = Array.from({ length: 999 }, (_, index) =>
      at(index).login('carl', `guess-${index}`, { address: `10.1.0.${index % 200}` }),
    );
    const answers = await Promise.all(guesses);
    expect(new Set(answers.map(({ body }) => JSON.stringify(body)))).toEqual(new Set([JSON.stringify(refused)]));
    expect(lookedAt('carl')).toBeLessThanOrEqual(3 * 10);
    for (const service of services) expect((await service.login('carl', password)).body).toEqual(refused);
  });

  it('are counted by each alone while the broker is away, and good logins go on', async () => {
    await nats.kill();
    for (const service of services) expect((await service.login('bob', password)).body.token).toBeDefined();
    for (let index = 0; index < 11; index += 1) await at(1).login('dora', `guess-${index}`);
    expect((await at(1).login('dora', password)).body).toEqual(refused);
    expect((await at(2).login('dora', password)).body.token).toBeDefined();
  });
});
