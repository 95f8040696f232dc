import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../support/folders.ts';
import { base, LdapServer, searcher } from '../support/login-ldap.ts';
import { LoginKey, LoginService } from '../support/login-service.ts';

const password = 'open:sesame';
const failed = { error: 'Login failed' };

describe('logins with a directory', () => {
  let directory: LdapServer;
  const services: LoginService[] = [];

  beforeAll(async () => {
    directory = await LdapServer.start();
  });
  afterAll(async () => {
    for (const service of services) await service.stop();
    await directory?.stop();
  });

  const start = async (section: object) => {
    const service = await LoginService.start((folder) => {
      writeFileSync(join(folder, 'seed'), '18'.repeat(32));
      writeFileSync(join(folder, 'searcher'), `${searcher.password}\n`);
      return {
        authenticator: 'ldap',
        login: { failures_by_user: 1_000 },
        ldap_authenticator: {
          url: directory.tlsUrl,
          ca: directory.ca,
          validity: '1h',
          signing_key: join(folder, 'seed'),
          groups: {
            operators: { agents: ['webstack.*'], permissions: { fleet_management: true } },
            admins: { agents: ['*'], organization: 'acme' },
          },
          ...section,
          ...('bind_dn' in section && { bind_password_file: join(folder, 'searcher') }),
        },
      };
    });
    services.push(service);
    return service;
  };
  const searching = () => ({ bind_dn: searcher.dn, user_base: `ou=people,${base}`, group_base: `ou=groups,${base}` });

  it('find the user, check his password, and give what his groups get', async () => {
    const service = await start(searching());
    const anna = decodeJwt((await service.login('anna', password)).body.token ?? '');
    expect(anna).toMatchObject({
      callerid: 'ldap=anna',
      ou: 'acme',
      agents: ['webstack.*', '*'],
      permissions: { fleet_management: true },
    });
    // However the name was typed, it is one caller.
    expect(decodeJwt((await service.login('ANNA', password)).body.token ?? '').callerid).toBe('ldap=anna');
    for (const [name, typed] of [
      ['anna', 'wrong'],
      ['anna', ''],
      ['stranger', password],
      ['guest', password],
      ['', password],
    ] as const)
      expect((await service.login(name, typed)).body).toEqual(failed);
    expect(service.said).not.toContain('canary');
  });

  it('take no name for a pattern', async () => {
    const service = await start(searching());
    for (const name of ['*', 'an*', 'anna)(uid=*', 'anna\u0000', '\\61nna', 'a'.repeat(300)])
      expect((await service.login(name, password)).body, name).toEqual(failed);
    expect(decodeJwt((await service.login('b*(x)', password)).body.token ?? '')).toMatchObject({
      callerid: 'ldap=b*(x)',
      agents: ['webstack.*'],
    });
  });

  it('go by the DN of the user where nobody may search', async () => {
    const service = await start({ user_dn: `uid={username},ou=people,${base}`, everybody: { agents: ['rpcutil.ping'] } });
    const key = new LoginKey();
    const { token = '' } = (await service.login('anna', password, { key })).body;
    expect(decodeJwt(token)).toMatchObject({ callerid: 'ldap=anna', agents: ['rpcutil.ping'] });
    expect(decodeJwt((await service.login('b*(x)', password)).body.token ?? '').callerid).toBe('ldap=b*(x)');
    for (const [name, typed] of [
      ['anna', 'wrong'],
      ['stranger', password],
      [`anna,ou=people,${base}`, password],
      ['a+uid=b', password],
    ] as const)
      expect((await service.login(name, typed)).body).toEqual(failed);
  });

  it('are refreshed with what the directory says then', async () => {
    const service = await start(searching());
    const key = new LoginKey();
    const { token = '' } = (await service.login('anna', password, { key })).body;
    const timestamp = String(Math.floor(Date.now() / 1_000));
    const body = { token, timestamp, signature: key.sign(`${timestamp}:refresh:${token}`) };
    expect(decodeJwt((await service.post('/muster/v1/refresh', body)).body.token ?? '')).toMatchObject({ callerid: 'ldap=anna' });
  });

  it('use StartTLS, and the next server when one is not there', async () => {
    const service = await start({
      ...searching(),
      url: [`ldap://127.0.0.1:${await freePort()}`, directory.url],
      start_tls: true,
    });
    expect((await service.login('anna', password)).body.token).toBeDefined();
  });

  it.each([
    ['ldaps', () => ({ url: directory.tlsUrl })],
    ['StartTLS', () => ({ url: directory.url, start_tls: true })],
  ])('send no password by %s to a server of another authority', async (_, url) => {
    const service = await start({ ...searching(), ...url(), ca: directory.otherCa });
    expect((await service.login('anna', password)).body).toEqual(failed);
    expect(
      service.test.log
        .filter(({ level }) => level === 'error')
        .map(({ message }) => message)
        .join(),
    ).toContain('certificate');
  });

  it.each([
    ['ldaps', (server: LdapServer) => ({ url: server.tlsUrl })],
    ['StartTLS', (server: LdapServer) => ({ url: server.url, start_tls: true })],
  ])('send no password by %s to a server of another name', async (_, url) => {
    const misnamed = await LdapServer.start(['other.example.net']);
    try {
      const service = await start({ ...searching(), ...url(misnamed), ca: misnamed.ca });
      expect((await service.login('anna', password)).body).toEqual(failed);
      expect(service.said).toMatch(/does not match certificate|altnames/);
    } finally {
      await misnamed.stop();
    }
  });

  it('fail, and the log says why, when the directory is silent or not there', async () => {
    const silent = createServer(() => undefined);
    const port = await freePort();
    await new Promise<void>((resolve) => silent.listen(port, '127.0.0.1', resolve));
    try {
      const service = await start({ ...searching(), url: [`ldap://127.0.0.1:${await freePort()}`, `ldap://127.0.0.1:${port}`] });
      expect((await service.login('anna', password)).body).toEqual(failed);
      expect(service.said).toContain('the directory can not be asked');
      expect(service.said).not.toContain(password);
    } finally {
      silent.close();
    }
  });
});
