// Logins as clients meet them: the routes of the AAA service behind a bare HTTP server, with real authenticators.

import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { distributionRoot } from '../../core/host/distribution.ts';
import { publicHex } from '../../plugins/wire/tokens/ed25519.ts';
import { freePort, temporaryFolder, writeBundle } from './folders.ts';
import { startHost, type TestHost, type TestHostOptions } from './hosts.ts';
import { send } from './signer-service.ts';

const manifest = `bundle: login-test
version: 1.0.0
config:
  keys:
    login.test.port: { type: integer, description: Port }
    login.test.broker: { type: string, description: URL of a broker }
    login.test.now: { type: path, description: File with a time }
  uses: [plugin.aaa.config]
plugins:
  - kind: service
    name: login-test
    runner: inline
    module: ./index.mjs
    needs: { plugins: [authenticator, policy-compiler], timers: true, metrics: true, state: true, kv: [MUSTER_TOTP, MUSTER_LOGIN_ONCE, MUSTER_LOGIN_FAILURES], bus: { connections: [login], open: true } }
`;

const server = (root: string) => `
import { createServer } from 'node:http';
import { readFileSync } from 'node:fs';
import { definePlugin } from '${root}/core/sdk/typescript/index.js';
import { loginProblems, loginRoutes } from '${root}/plugins/aaa/login/routes.js';
export default definePlugin({ kind: 'service', version: '1.0.0', create: (host) => {
  let server;
  return {
    methods: { 'service/status': () => ({ healthy: true, summary: 'ok', details: {} }) },
    activate: async () => {
      const file = host.config['plugin.aaa.config'];
      const settings = JSON.parse(readFileSync(file, 'utf8'));
      const { authenticator, site = 'default' } = settings;
      const clock = host.config['login.test.now'];
      const broker = host.config['login.test.broker'];
      if (broker) await host.bus.open({ connection: 'login', servers: [broker] });
      const parts = { host, ...(broker && { connection: 'login' }), file, site, authenticators: [authenticator ?? []].flat(), maxSession: settings.max_session, ...(clock && { now: () => Number(readFileSync(clock, 'utf8')) }) };
      const problems = await loginProblems(parts);
      if (problems.length > 0) throw new Error(problems.join('; '));
      const routes = loginRoutes(parts);
      server = createServer(async (request, response) => {
        let text = '';
        for await (const chunk of request) text += chunk;
        const route = routes.find(({ method, path }) => method === request.method && path === request.url);
        let body;
        try { body = text === '' ? undefined : JSON.parse(text); } catch { response.writeHead(400).end('{}'); return; }
        if (!route || (route.accepts && !route.accepts(body))) { response.writeHead(route ? 400 : 404).end('{}'); return; }
        const answer = await route.handle({ body, address: request.headers['x-test-address'] ?? '127.0.0.1', signal: new AbortController().signal });
        response.writeHead(answer.status, { 'content-type': 'application/json' }).end(JSON.stringify(answer.body));
      });
      await new Promise((resolve) => server.listen(host.config['login.test.port'], '127.0.0.1', resolve));
    },
    shutdown: () => new Promise((resolve) => { server ? server.close(resolve) : resolve(); server?.closeAllConnections(); }),
  };
} });
`;

export interface Answer {
  readonly status: number;
  readonly body: { readonly token?: string; readonly error?: string } & Readonly<Record<string, unknown>>;
}

/** A key that a token is to be made for. */
export class LoginKey {
  readonly key: KeyObject;

  constructor(key = generateKeyPairSync('ed25519').privateKey) {
    this.key = key;
  }

  get publicKey(): string {
    return publicHex(this.key);
  }

  sign(text: string): string {
    return sign(null, Buffer.from(text), this.key).toString('hex');
  }
}

export class LoginService {
  readonly folder: string;
  readonly url: string;
  readonly test: TestHost;
  readonly #remove: () => void;

  private constructor(folder: string, url: string, test: TestHost, remove: () => void) {
    [this.folder, this.url, this.test, this.#remove] = [folder, url, test, remove];
  }

  /**
   * @param settings of the JSON file, made when the folder is known
   * @param more of the configuration, made then as well
   */
  static async start(
    settings: (folder: string) => object,
    options: TestHostOptions = {},
    more: (folder: string) => Readonly<Record<string, unknown>> = () => ({}),
  ): Promise<LoginService> {
    const { path: folder, remove } = temporaryFolder();
    writeBundle(folder, 'login-test', manifest, { 'index.mjs': server(distributionRoot()) });
    const config = join(folder, 'aaa.json');
    try {
      writeFileSync(config, JSON.stringify(settings(folder)));
      const port = await freePort();
      const test = await startHost({
        distribution: true,
        bundles: [folder],
        services: ['login-test'],
        ...options,
        config: { 'plugin.aaa.config': config, 'login.test.port': port, ...options.config, ...more(folder) },
      });
      return new LoginService(folder, `http://127.0.0.1:${port}`, test, remove);
    } catch (error) {
      remove();
      throw error;
    }
  }

  /** The whole service, with its own listener; without TLS. */
  static async startWhole(settings: (folder: string) => object): Promise<LoginService> {
    const { path: folder, remove } = temporaryFolder();
    const [file, port] = [join(folder, 'aaa.json'), await freePort()];
    try {
      writeFileSync(file, JSON.stringify({ port, listen: '127.0.0.1', disable_tls: true, ...settings(folder) }));
      const test = await startHost({ distribution: true, services: ['aaa'], config: { 'plugin.aaa.config': file } });
      return new LoginService(folder, `http://127.0.0.1:${port}`, test, remove);
    } catch (error) {
      remove();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await this.test.stop();
    this.#remove();
  }

  async post(path: string, body: unknown, address = '127.0.0.1'): Promise<Answer> {
    const headers = { 'content-type': 'application/json', 'x-test-address': address };
    return this.#send(path, typeof body === 'string' ? body : JSON.stringify(body), headers, 'POST');
  }

  get(path: string): Promise<Answer> {
    return this.#send(path, '', {}, 'GET');
  }

  /** By a connection of its own: one that is kept is closed by a service that was busy, just when it is used again. */
  async #send(path: string, text: string, headers: Readonly<Record<string, string>>, method: string): Promise<Answer> {
    const { status, body } = await send(Number(new URL(this.url).port), path, text, headers, method);
    return { status, body };
  }

  /** As Choria's clients log in. */
  login(
    username: string,
    password: string,
    { key = new LoginKey(), address = '127.0.0.1', now = Date.now() } = {},
  ): Promise<Answer> {
    return this.post('/choria/v1/login', loginBody(username, password, key, now), address);
  }

  /** What the log says, all of it. */
  get said(): string {
    return JSON.stringify(this.test.log);
  }
}

export function loginBody(username: string, password: string, key: LoginKey, now = Date.now()) {
  const timestamp = String(Math.floor(now / 1_000));
  const signature = key.sign(`${timestamp}:${username}:${password}`);
  return { username, password, timestamp, public_key: key.publicKey, signature };
}
