// A provider of OpenID Connect that lies, lags and fails as it is told, and signs what it is told.

import { randomUUID } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { exportJWK, generateKeyPair, type JWTHeaderParameters, SignJWT } from 'jose';
import { freePort } from './folders.ts';

type KeyPair = Awaited<ReturnType<typeof generateKeyPair>>;

export class FakeProvider {
  readonly issuer: string;
  /** What the discovery document says beside or in place of the truth. */
  discovery: Readonly<Record<string, unknown>> = {};
  /** Answers with this status, or not at all. */
  trouble: 'none' | 'status' | 'silence' | 'garbage' | 'flood' = 'none';
  userinfo: unknown = {};
  /** Paths that were asked for. */
  readonly asked: string[] = [];
  readonly #server: Server;
  #keys: { kid: string; algorithm: string; pair: KeyPair }[] = [];

  private constructor(issuer: string) {
    this.issuer = issuer;
    this.#server = createServer((request, response) => {
      this.asked.push(request.url ?? '');
      if (this.trouble === 'silence') return;
      response.writeHead(this.trouble === 'status' ? 503 : 200, { 'content-type': 'application/json' });
      if (this.trouble === 'garbage') response.end('<html>');
      else if (this.trouble === 'flood') response.end(`"${'x'.repeat(2_000_000)}"`);
      else void this.#answer(request.url ?? '').then((body) => response.end(JSON.stringify(body)));
    });
  }

  static async start(): Promise<FakeProvider> {
    const port = await freePort();
    const provider = new FakeProvider(`http://127.0.0.1:${port}`);
    await provider.rotate();
    await new Promise<void>((resolve) => provider.#server.listen(port, '127.0.0.1', resolve));
    return provider;
  }

  stop(): Promise<void> {
    return new Promise((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }

  /** Signs with a new key from now on, and publishes no other. */
  async rotate(algorithm: 'RS256' | 'ES256' = 'RS256'): Promise<void> {
    const pair = await generateKeyPair(algorithm, { extractable: true });
    this.#keys = [{ kid: randomUUID(), algorithm, pair }];
  }

  /** @param given by who signs; by default this provider's key. */
  async sign(
    claims: Readonly<Record<string, unknown>>,
    header: Partial<JWTHeaderParameters> = {},
    given?: Parameters<SignJWT['sign']>[0],
  ): Promise<string> {
    const [key] = this.#keys;
    const now = Math.floor(Date.now() / 1_000);
    const all = {
      iss: this.issuer,
      aud: 'muster',
      sub: 'ann',
      iat: now,
      exp: now + 300,
      groups: ['operators'],
      jti: randomUUID(),
      ...claims,
    };
    const cleaned = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
    if (!key) throw new Error('there is no key');
    return new SignJWT(cleaned)
      .setProtectedHeader({ alg: key.algorithm, kid: key.kid, ...header })
      .sign(given ?? key.pair.privateKey);
  }

  async publicJwk(): Promise<object> {
    return exportJWK(this.#keys[0]?.pair.publicKey ?? new Uint8Array());
  }

  async #answer(path: string): Promise<unknown> {
    if (path === '/userinfo') return this.userinfo;
    if (path === '/keys')
      return {
        keys: await Promise.all(this.#keys.map(async ({ kid, pair }) => ({ ...(await exportJWK(pair.publicKey)), kid }))),
      };
    const at = (name: string) => `${this.issuer}/${name}`;
    return { issuer: this.issuer, jwks_uri: at('keys'), userinfo_endpoint: at('userinfo'), ...this.discovery };
  }
}
