import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Authority, issueFiles, openAuthority } from '../../plugins/overlay/ca.ts';
import { writeConfig } from '../support/command.ts';
import { freePort, temporaryFolder } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';
import { runWithInput } from '../support/login-cli.ts';

const password = 'canary of anna';

describe('muster login at muster run aaa', () => {
  const { path: folder, remove } = temporaryFolder();
  let service: TestHost;
  let authority: Authority;
  let other: Authority;
  let ports: { port: number; monitor: number };
  const file = (name: string) => join(folder, name);

  beforeAll(async () => {
    [authority, other] = [await openAuthority(file('ca'), 'aaa ca'), await openAuthority(file('other'), 'other ca')];
    const { cert, key } = await issueFiles(authority, { commonName: 'localhost', names: ['localhost'] });
    ports = { port: await freePort(), monitor: await freePort() };
    const hash = await (await import('@node-rs/bcrypt')).hash(password, 4);
    writeFileSync(file('seed'), '22'.repeat(32));
    writeFileSync(file('users.json'), JSON.stringify([{ username: 'anna', password: hash, acls: ['*'] }]));
    const settings = {
      site: 'mla',
      port: ports.port,
      monitor_port: ports.monitor,
      monitor_listen: '127.0.0.1',
      tls_certificate: cert,
      tls_key: key,
      authenticator: 'userlist',
      userlist_authenticator: { validity: '1h', users_file: file('users.json'), signing_key: file('seed') },
    };
    writeFileSync(file('aaa.json'), JSON.stringify(settings));
    service = await startHost({ distribution: true, services: ['aaa'], config: { 'plugin.aaa.config': file('aaa.json') } });
    mkdirSync(file('client'));
  });
  afterAll(async () => {
    await service?.stop();
    remove();
  });

  const login = (ca: string, host = 'localhost') => {
    const config = writeConfig(folder, 'client.conf', {
      'plugin.login.aaasvc.login.url': `https://${host}:${ports.port}/choria/v1/login`,
      'plugin.choria.security.request_signer.token_file': file('client/client.jwt'),
      'plugin.security.provider': 'file',
      'plugin.security.file.ca': ca,
    });
    return runWithInput(['login', '--user', 'anna', '--config', config], `${password}\n`);
  };

  it('sends no password to a service of another authority, or of another name', async () => {
    for (const ran of [await login(other.certFile), await login(authority.certFile, '127.0.0.1')]) {
      expect(ran).toMatchObject({ code: 1, out: '' });
      expect(ran.err).toMatch(/no login service can be reached: https:.*(certificate|altnames)/);
    }
    expect(existsSync(file('client/client.jwt'))).toBe(false);
  });

  it('gets a token from the one that is verified, and the service counts it', async () => {
    const ran = await login(authority.certFile);
    expect(ran.code, ran.err).toBe(0);
    expect(decodeJwt(readFileSync(file('client/client.jwt'), 'utf8'))).toMatchObject({ callerid: 'up=anna', agents: ['*'] });
    writeFileSync(file('users.json'), '[]');
    expect((await login(authority.certFile)).code).toBe(1);
    const numbers = await (await fetch(`http://127.0.0.1:${ports.monitor}/metrics`)).text();
    expect(numbers).toMatch(/choria_aaa_authenticator_time_count\{[^}]*site="mla"[^}]*\} 2/);
    expect(numbers).toMatch(/choria_aaa_authenticator_errors\{[^}]*authenticator="userlist"[^}]*\} 1/);
    expect(JSON.stringify(service.log)).not.toContain('canary');
  });

  it('does not begin with settings that are wrong, and tells all of it at once', async () => {
    const wrong = {
      port: await freePort(),
      disable_tls: true,
      authenticator: ['userlist', 'ldap', 'oidc', 'certificate'],
      userlist_authenticator: { validity: '1h', users_file: file('users.txt'), signing_key: file('nothing') },
      ldap_authenticator: { url: 'ldap://ldap.example.net', user_base: 'dc=x', validity: '1h', signing_key: file('seed') },
      oidc_authenticator: { issuer: 'http://sso.example.net', client_id: 'x', validity: '1h', signing_key: file('seed') },
      certificate_authenticator: { ca: file('seed'), validity: '1h', signing_key: file('seed') },
    };
    writeFileSync(file('users.txt'), '{"username":');
    writeFileSync(file('wrong.json'), JSON.stringify(wrong));
    const begun = startHost({ distribution: true, services: ['aaa'], config: { 'plugin.aaa.config': file('wrong.json') } });
    const message = await begun.then(
      () => '',
      (error: Error) => error.message,
    );
    for (const part of [
      `authenticator userlist: ${file('users.txt')} is not JSON; it must be a list of users`,
      'ldap_authenticator.url is ldap://ldap.example.net, where passwords could be read on their way',
      "oidc_authenticator.issuer is 'http://sso.example.net', which is no URL with https",
      'certificate_authenticator.ca:',
      `tokens of the authenticator userlist can not be signed: the key ${file('nothing')} can not be read`,
    ])
      expect(message).toContain(part);
  });
});
