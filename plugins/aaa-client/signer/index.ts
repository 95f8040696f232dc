// The request-signer `aaa`: requests are signed by an AAA service, in the name of whoever is logged in.

import { type Call, definePlugin, type Host } from '../../../core/sdk/typescript/index.ts';
import { loginUrls, tlsOf } from '../login/config.ts';
import { refreshed } from '../login/refresh.ts';
import { type SignerConfig, signerTls, signerUrls, tokenFiles } from './config.ts';
import { signOverBus } from './over-bus.ts';
import { HttpSigner } from './over-http.ts';
import { type LoggedIn, TokenFiles } from './token.ts';

/** Requests that are signed at once. */
const mostAtOnce = 16;
/** A token is looked at so often whether it should be refreshed. */
const refreshMs = 10_000;

export default definePlugin({
  kind: 'request-signer',
  version: '1.0.0',
  create: (host) => {
    const signer = new AaaSigner(host);
    return {
      methods: {
        'request-signer/who': async (_params: object, call: Call) => {
          const loggedIn = await signer.loggedIn(call.signal);
          if (!loggedIn) return { callerid: null };
          const { callerid, token, seedFile: seed } = loggedIn;
          return { callerid, token, seed };
        },
        'request-signer/sign': async ({ requests }: { requests: readonly string[] }, call: Call) => ({
          secure: await signer.sign(requests, call.signal),
        }),
      },
      shutdown: () => signer.close(),
    };
  },
});

class AaaSigner {
  readonly #host: Host;
  readonly #config: SignerConfig;
  readonly #files = new TokenFiles();
  #http: HttpSigner | undefined;
  #refreshedAt = 0;
  #warned = false;

  constructor(host: Host) {
    this.#host = host;
    this.#config = host.config as unknown as SignerConfig;
  }

  close(): void {
    this.#http?.close();
  }

  /** @throws PluginError for a token that can't be used */
  async loggedIn(signal: AbortSignal): Promise<LoggedIn | undefined> {
    const files = tokenFiles(this.#config);
    return files && this.#files.read(files, () => this.#refresh(files, signal));
  }

  /** @throws PluginError for the first that is refused */
  async sign(requests: readonly string[], signal: AbortSignal): Promise<string[]> {
    const loggedIn = await this.loggedIn(signal);
    if (!loggedIn) throw new Error('nobody is logged in; log in with `muster login`');
    const secure: string[] = [];
    for (let first = 0; first < requests.length; first += mostAtOnce) {
      const group = requests.slice(first, first + mostAtOnce);
      secure.push(...(await Promise.all(group.map((request) => this.#signOne(request, loggedIn, signal)))));
    }
    return secure;
  }

  #signOne(request: string, loggedIn: LoggedIn, signal: AbortSignal): Promise<string> {
    if (this.#config['plugin.choria.security.request_signer.service'] === true)
      return signOverBus(this.#host, this.#config, request, loggedIn, signal);
    this.#http ??= this.#openHttp();
    return this.#http.sign(request, loggedIn, signal);
  }

  #openHttp(): HttpSigner {
    const tls = signerTls(this.#config);
    const urls = signerUrls(this.#config);
    if (!this.#warned && (!tls.verify || urls.some(({ protocol }) => protocol === 'http:')))
      this.#host.log.warn('the signer is not verified, so that whoever answers in its place sees tokens and requests');
    this.#warned = true;
    return new HttpSigner(urls, tls);
  }

  /** Where there is a login service; one that is away is no reason to stop. */
  async #refresh(files: NonNullable<ReturnType<typeof tokenFiles>>, signal: AbortSignal): Promise<void> {
    if (Date.now() - this.#refreshedAt < refreshMs || this.#config['plugin.login.aaasvc.login.url'] === undefined) return;
    this.#refreshedAt = Date.now();
    const service = { urls: loginUrls(this.#config), tls: tlsOf(this.#config), signal };
    await refreshed(service, files, (problem) => this.#host.log.warn(problem));
  }
}
