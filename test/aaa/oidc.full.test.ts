import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { decodeJwt } from 'jose';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { writeConfig } from '../support/command.ts';
import { freePort, until } from '../support/folders.ts';
import { logInAt, startBrowser } from '../support/login-browser.ts';
import { FakeProvider } from '../support/login-fake-provider.ts';
import { clientId, type RunningProvider, startProvider } from '../support/login-oidc.ts';
import { LoginKey, LoginService } from '../support/login-service.ts';

const people = {
  'ann@example.net': { groups: ['operators', 'unknown'], email: 'ann@example.net' },
  'visitor@example.net': { groups: ['guests'], email: 'visitor@example.net' },
};
const policy = 'package io.choria.aaasvc\n';

describe.each([
  ['in the ID token', true],
  ['told by userinfo', false],
])('single sign-on with groups %s, walked through in a real browser', (_, claimsInIdToken) => {
  let provider: RunningProvider;
  let service: LoginService;
  let browser: Browser;
  let config: string;
  const tokenFile = () => join(service.folder, 'client/client.jwt');

  beforeAll(async () => {
    browser = await startBrowser();
    provider = await startProvider(people, { claimsInIdToken });
    const redirectPort = await freePort();
    service = await LoginService.start((folder) => {
      writeFileSync(join(folder, 'seed'), '15'.repeat(32));
      mkdirSync(join(folder, 'client'));
      return {
        authenticator: ['oidc'],
        oidc_authenticator: {
          issuer: provider.issuer,
          client_id: clientId,
          name_claim: 'email',
          userinfo: !claimsInIdToken,
          ...(claimsInIdToken && { redirect_port: redirectPort }),
          validity: '1h',
          signing_key: join(folder, 'seed'),
          groups: {
            operators: { agents: ['webstack.*'], opa_policy: policy, permissions: { fleet_management: true }, tenant: 'mla' },
          },
        },
      };
    });
    config = writeConfig(service.folder, 'client.conf', {
      'plugin.login.aaasvc.login.url': `${service.url}/choria/v1/login`,
      'plugin.choria.security.request_signer.token_file': tokenFile(),
    });
  }, 240_000);
  afterAll(async () => {
    await browser?.close();
    await service?.stop();
    await provider?.stop();
  });

  /** `muster login`, and what it says on the way. */
  function begin(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const main = join(distributionRoot(), 'core/cli/main.js');
    const child = spawn(process.execPath, [main, 'login', '--config', config, ...args], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    const told = { out: '', err: '' };
    child.stdout.on('data', (chunk: Buffer) => {
      told.out += chunk;
    });
    child.stderr.on('data', (chunk: Buffer) => {
      told.err += chunk;
    });
    const ended = new Promise<number>((resolve) => child.once('close', (code) => resolve(code ?? -1)));
    const address = (pattern: RegExp) => until('an address is shown', () => pattern.exec(told.err)?.[1]);
    return { told, ended, address };
  }

  it('gives a token by the code flow with PKCE', async () => {
    const { told, ended, address } = begin(['--no-browser', '--json']);
    const page = await (await browser.newContext()).newPage();
    await page.goto(await address(/Open (http\S+)/));
    expect(existsSync(tokenFile())).toBe(false);
    await logInAt(page, 'ann@example.net');
    await page.waitForSelector('text=You are logged in');
    expect(await ended, told.err).toBe(0);
    expect(JSON.parse(told.out)).toMatchObject({ callerid: 'oidc=ann@example.net' });
    expect(told.out + told.err + service.said).not.toContain('eyJ');
    expect(decodeJwt(readFileSync(tokenFile(), 'utf8'))).toMatchObject({
      callerid: 'oidc=ann@example.net',
      agents: ['webstack.*'],
      opa_policy: policy,
      permissions: { fleet_management: true },
      tenant: 'mla',
    });
    await page.context().close();
  });

  it('opens the browser of the desktop, and shows the address as well', async () => {
    const opened = join(service.folder, 'opened');
    writeFileSync(join(service.folder, 'xdg-open'), `#!/bin/sh\necho "$1" > ${opened}.new && mv ${opened}.new ${opened}\n`, {
      mode: 0o755,
    });
    const { told, ended } = begin([], { DISPLAY: ':1', PATH: `${service.folder}${delimiter}${process.env.PATH}` });
    await until('a browser is opened', () => existsSync(opened));
    const address = readFileSync(opened, 'utf8').trim();
    await until('the address is shown', () => told.err.includes(`A browser opens; if none does, open ${address}`));
    const page = await (await browser.newContext()).newPage();
    await page.goto(address);
    await logInAt(page, 'ann@example.net');
    expect(await ended, told.err).toBe(0);
    await page.context().close();
  });

  it('gives a token by the device flow', async () => {
    const { told, ended, address } = begin(['--device', '--json']);
    const page = await (await browser.newContext()).newPage();
    await page.goto(await address(/or open (http\S+)/));
    await page.click('button[type=submit]');
    await logInAt(page, 'ann@example.net');
    expect(await ended, told.err).toBe(0);
    expect(decodeJwt(readFileSync(tokenFile(), 'utf8'))).toMatchObject({
      callerid: 'oidc=ann@example.net',
      agents: ['webstack.*'],
    });
    await page.context().close();
  });

  it('refuses whom the provider knows and nobody gave anything, and keeps the token that was there', async () => {
    const before = readFileSync(tokenFile(), 'utf8');
    const { told, ended, address } = begin(['--no-browser']);
    const page = await (await browser.newContext()).newPage();
    await page.goto(await address(/Open (http\S+)/));
    await logInAt(page, 'visitor@example.net');
    expect(await ended).toBe(1);
    expect(told.err).toContain('the login service refused: Login failed');
    expect(service.said).toContain('no group of visitor@example.net gets anything here');
    expect(readFileSync(tokenFile(), 'utf8')).toBe(before);
    await page.context().close();
  });

  it('ends when the user says no', async () => {
    const { told, ended, address } = begin(['--no-browser']);
    const page = await (await browser.newContext()).newPage();
    await page.goto(await address(/Open (http\S+)/));
    await page.click('text=[ Cancel ]');
    expect(await ended).toBe(1);
    expect(told.err).toContain('no login at the provider: access_denied');
    await page.context().close();
  });
});

describe('a provider that does not answer', () => {
  it('fails a login after a while, and the log says why', async () => {
    const provider = await FakeProvider.start();
    const service = await LoginService.start((folder) => {
      writeFileSync(join(folder, 'seed'), '17'.repeat(32));
      const section = {
        issuer: provider.issuer,
        client_id: 'muster',
        validity: '1h',
        signing_key: join(folder, 'seed'),
        everybody: {},
      };
      return { authenticator: 'oidc', oidc_authenticator: section };
    });
    try {
      const credential = await provider.sign({});
      const send = () => {
        const [key, timestamp] = [new LoginKey(), String(Math.floor(Date.now() / 1_000))];
        const signature = key.sign(`${timestamp}:oidc::${credential}`);
        return service.post('/muster/v1/login', { method: 'oidc', credential, timestamp, public_key: key.publicKey, signature });
      };
      provider.trouble = 'silence';
      expect((await send()).body).toEqual({ error: 'Login failed' });
      expect(service.said).toContain('no answer within 8 s');
      provider.trouble = 'none';
      expect((await send()).body.token).toBeDefined();
    } finally {
      await service.stop();
      await provider.stop();
    }
  });
});
