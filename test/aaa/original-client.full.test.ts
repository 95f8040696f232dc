// Choria's own `choria login` at ours, where that is at hand: `CHORIA`, or `choria` on PATH. It wants a terminal.

import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { issueFiles, openAuthority } from '../../plugins/overlay/ca.ts';
import { sealFactor } from '../../plugins/wire/aaa/second-factors.ts';
import { codeAt } from '../../plugins/wire/aaa/totp.ts';
import { writeConfig } from '../support/command.ts';
import { temporaryFolder, until } from '../support/folders.ts';
import { LoginService } from '../support/login-service.ts';

const onPath = (process.env.PATH ?? '').split(delimiter).map((folder) => join(folder, 'choria'));
const program = [process.env.CHORIA ?? '', ...onPath].find((path) => path !== '' && existsSync(path));
const password = 'canary of anna';

describe.skipIf(program === undefined)('choria login', () => {
  const { path: folder, remove } = temporaryFolder();
  const token = join(folder, 'client.jwt');
  const [key, secret] = [Buffer.alloc(32, 5), Buffer.alloc(20, 4)];
  let service: LoginService;

  beforeAll(async () => {
    const hash = await (await import('@node-rs/bcrypt')).hash(password, 4);
    service = await LoginService.startWhole((at) => {
      writeFileSync(join(at, 'seed'), '26'.repeat(32));
      const factor = sealFactor('up=bob', { secret, recoveryCodes: [] }, key);
      writeFileSync(join(at, 'factors.json'), JSON.stringify({ users: { 'up=bob': factor } }));
      writeFileSync(join(at, 'factors.key'), key.toString('hex'));
      const users = ['anna', 'bob'].map((username) => ({ username, password: hash }));
      return {
        authenticator: 'userlist',
        login: { second_factor: { file: join(at, 'factors.json'), key: join(at, 'factors.key') } },
        userlist_authenticator: { validity: '1h', users, signing_key: join(at, 'seed') },
      };
    });
  });
  afterAll(async () => {
    await service?.stop();
    remove();
  });

  /** @returns what it showed */
  async function login(user: string, typed: string): Promise<string> {
    const own = await issueFiles(await openAuthority(folder, 'choria ca'), { commonName: `${user}.mcollective` });
    const config = writeConfig(folder, 'choria.conf', {
      'plugin.security.provider': 'file',
      'plugin.security.file.certificate': own.cert,
      'plugin.security.file.key': own.key,
      'plugin.security.file.ca': own.ca,
      'plugin.login.aaasvc.login.url': `${service.url}/choria/v1/login`,
      'plugin.choria.security.request_signer.token_file': token,
      'plugin.choria.middleware_hosts': 'localhost:4222',
    });
    const env = { ...process.env, USER: user, TERM: 'xterm' };
    const child = spawn('script', ['-qfec', `${program} login --config ${config}`, '/dev/null'], { env });
    let shown = '';
    let answered = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      shown += chunk;
      // It asks where the cursor is, and what comes before it was told is lost.
      for (const asked = shown.split('\x1b[6n').length - 1; answered < asked; answered += 1) child.stdin.write('\x1b[1;1R');
    });
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
    const typeUntil = async (what: string, text: string, isDone: () => boolean) => {
      let next = Date.now();
      await until(
        what,
        () => {
          if (Date.now() >= next) {
            child.stdin.write(text);
            next = Date.now() + 3_000;
          }
          return isDone();
        },
        30_000,
      );
    };
    try {
      await until('it asks for the name', () => shown.includes('Username'));
      await typeUntil('it asks for the password', '\r', () => shown.includes('Password'));
      await typeUntil('it ends', `${typed}\r`, () => child.exitCode !== null);
      await ended;
      return shown;
    } finally {
      child.kill();
    }
  }

  it('gets a token, and none with a wrong password', async () => {
    await login('anna', 'wrong');
    expect(existsSync(token)).toBe(false);
    expect(await login('anna', password)).toContain('Token saved to');
    expect(decodeJwt(readFileSync(token, 'utf8')).callerid).toBe('up=anna');
  });

  it('gets one with a second factor right behind the password', async () => {
    const code = await codeAt(secret, Math.floor(Date.now() / 30_000));
    expect(await login('bob', `${password}${code}`)).toContain('Token saved to');
    expect(decodeJwt(readFileSync(token, 'utf8')).callerid).toBe('up=bob');
    expect(service.said).not.toContain('canary');
  });
});
