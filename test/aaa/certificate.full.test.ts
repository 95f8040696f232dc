import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Authority, issueFiles, openAuthority } from '../../plugins/overlay/ca.ts';
import { writeConfig } from '../support/command.ts';
import { runWithInput } from '../support/login-cli.ts';
import { LoginService } from '../support/login-service.ts';
import { pin, SoftToken } from '../support/login-softhsm.ts';

describe('muster login by certificate', () => {
  let service: LoginService;
  let authority: Authority;
  let config: string;
  const tokenFile = () => join(service.folder, 'client/client.jwt');
  const login = (args: readonly string[], input = '', env: Readonly<Record<string, string>> = {}) =>
    runWithInput(['login', '--config', config, ...args], input, env);

  beforeAll(async () => {
    const folderOf = (folder: string) => join(folder, 'ca');
    service = await LoginService.start((folder) => {
      mkdirSync(join(folder, 'client'));
      mkdirSync(folderOf(folder));
      writeFileSync(join(folder, 'seed'), '20'.repeat(32));
      const section = {
        ca: join(folderOf(folder), 'ca.pem'),
        validity: '1h',
        signing_key: join(folder, 'seed'),
        everybody: { agents: ['*'] },
      };
      return { authenticator: ['certificate'], certificate_authenticator: section };
    });
    authority = await openAuthority(folderOf(service.folder), 'people ca');
    config = writeConfig(service.folder, 'client.conf', {
      'plugin.login.aaasvc.login.url': `${service.url}/choria/v1/login`,
      'plugin.choria.security.request_signer.token_file': tokenFile(),
    });
  });
  afterAll(() => service?.stop());

  it('goes by a certificate and a key in files', async () => {
    const files = await issueFiles(authority, { commonName: 'anna' });
    expect((await login([])).err).toContain('needs --certificate and --key');
    const other = await issueFiles(authority, { commonName: 'bob' });
    expect((await login(['--certificate', files.cert, '--key', other.key])).err).toContain('does not belong to the certificate');
    expect(existsSync(tokenFile())).toBe(false);
    const ran = await login(['--certificate', files.cert, '--key', files.key]);
    expect(ran.code, ran.err).toBe(0);
    expect(decodeJwt(readFileSync(tokenFile(), 'utf8')).callerid).toBe('cert=anna');
  });

  it('goes by a certificate on a token whose key never leaves it, and asks for its PIN', async () => {
    const token = await SoftToken.make(service.folder);
    const place = ['--pkcs11-module', token.module, '--slot', token.slot];
    expect((await login(place, `${pin}\n`, token.env)).err).toContain('the token holds no certificate');
    token.addCertificate('01', 'rsa:2048', authority, 'carla');
    const ran = await login(place, `${pin}\n`, token.env);
    expect(ran.code, ran.err).toBe(0);
    expect(decodeJwt(readFileSync(tokenFile(), 'utf8')).callerid).toBe('cert=carla');

    token.addCertificate('02', 'EC:prime256v1', authority, 'dora');
    expect((await login(place, `${pin}\n`, token.env)).err).toContain('name one with --key-id: 01, 02');
    const before = readFileSync(tokenFile(), 'utf8');
    const wrong = await login([...place, '--key-id', '02'], '9999\n', token.env);
    expect(wrong).toMatchObject({ code: 1, out: '' });
    expect(wrong.err).toContain('the token refused: the PIN is wrong');
    expect(wrong.err).not.toContain('9999');
    expect(readFileSync(tokenFile(), 'utf8')).toBe(before);
    const curve = await login([...place, '--key-id', '02'], `${pin}\n`, token.env);
    expect(curve.code, curve.err).toBe(0);
    expect(decodeJwt(readFileSync(tokenFile(), 'utf8')).callerid).toBe('cert=dora');
    expect(`${ran.out}${ran.err}${curve.out}${curve.err}${service.said}`).not.toContain(pin);
  });

  it('says what is missing where there is no pkcs11-tool', async () => {
    const ran = await login(['--pkcs11-module', '/nowhere.so'], `${pin}\n`, { PATH: '/nowhere' });
    expect(ran.code).toBe(1);
    expect(ran.err).toContain('pkcs11-tool of OpenSC can not be run; install opensc');
  });
});
