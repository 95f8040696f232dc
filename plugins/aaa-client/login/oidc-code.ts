// The code flow with PKCE: a browser here, and a port of this machine to which the provider sends it back.

import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { printable } from '../../../core/sdk/typescript/index.ts';
import { publicHex } from '../../wire/tokens/ed25519.ts';
import type { Sso, Told } from './oidc.ts';

const path = '/callback';
const page = (text: string) =>
  `<!doctype html><meta charset="utf-8"><title>Muster</title><p style="font: 1.2em sans-serif; margin: 3em">${text}</p>`;

export async function codeFlow(
  { host, configuration, scope, key, signal }: Sso,
  { opensBrowser, port }: { readonly opensBrowser: boolean; readonly port: number },
): Promise<Told> {
  const { authorizationCodeGrant, buildAuthorizationUrl, calculatePKCECodeChallenge, randomPKCECodeVerifier, randomState } =
    await import('openid-client');
  const [verifier, state] = [randomPKCECodeVerifier(), randomState()];
  // The ID token is good for this key alone.
  const nonce = createHash('sha256')
    .update(Buffer.from(publicHex(key), 'hex'))
    .digest('base64url');
  const callback = new Callback(state);
  const redirect = await callback.listen(port);
  try {
    const address = buildAuthorizationUrl(configuration, {
      redirect_uri: redirect,
      scope,
      state,
      nonce,
      code_challenge: await calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
    });
    await host.terminal.write(
      `${opensBrowser ? 'A browser opens; if none does, open' : 'Open'} ${printable(address.href)}\n`,
      'stderr',
    );
    if (opensBrowser) openBrowser(address.href);
    const back = await callback.wait(signal);
    const told = await authorizationCodeGrant(configuration, back, {
      pkceCodeVerifier: verifier,
      expectedState: state,
      expectedNonce: nonce,
      idTokenExpected: true,
    });
    callback.answer('You are logged in, and may close this window.');
    return told;
  } catch (error) {
    callback.answer('The login failed; what went wrong is said where it was begun.');
    throw error;
  } finally {
    await callback.close();
  }
}

/** Waits for the browser that comes back with our state; whatever else asks here gets nothing. */
class Callback {
  readonly #state: string;
  readonly #server: Server;
  #came: (url: URL) => void = () => undefined;
  readonly #back: Promise<URL>;
  #answer: ((text: string) => void) | undefined;
  #origin = '';

  constructor(state: string) {
    this.#state = state;
    this.#back = new Promise((resolve) => {
      this.#came = resolve;
    });
    this.#server = createServer((request, response) => {
      const url = new URL(request.url ?? '/', this.#origin);
      const isOurs = request.method === 'GET' && url.pathname === path && url.searchParams.get('state') === this.#state;
      if (!isOurs || this.#answer) {
        response.writeHead(404, { 'content-type': 'text/plain' }).end('There is nothing here.\n');
        return;
      }
      this.#answer = (text) => response.writeHead(200, { 'content-type': 'text/html', connection: 'close' }).end(page(text));
      this.#came(url);
    });
  }

  /** @returns where the provider is to send the browser */
  async listen(port: number): Promise<string> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(port, '127.0.0.1', resolve);
    });
    this.#origin = `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
    return `${this.#origin}${path}`;
  }

  async wait(signal: AbortSignal): Promise<URL> {
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(signal.reason as Error);
      signal.addEventListener('abort', onAbort, { once: true });
      void this.#back.then((url) => {
        signal.removeEventListener('abort', onAbort);
        resolve(url);
      });
    });
  }

  answer(text: string): void {
    this.#answer?.(text);
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    this.#server.closeIdleConnections();
    // What was answered leaves first; a browser that keeps a connection open is not waited for.
    setTimeout(() => this.#server.closeAllConnections(), 1_000).unref();
    await closed;
  }
}

/** Left to itself, since it may be the browser that outlives us. */
function openBrowser(address: string): void {
  const program = process.platform === 'darwin' ? 'open' : 'xdg-open';
  const child = spawn(program, [address], { detached: true, stdio: 'ignore' });
  // The address was shown as well.
  child.once('error', () => undefined);
  child.unref();
}
