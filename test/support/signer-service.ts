// An AAA service that signs, in this process, with users whose tokens and seeds are at hand.

import { createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { type Authority, issueFiles } from '../../plugins/overlay/ca.ts';
import { emptyFilter, type Filter } from '../../plugins/wire/filter.ts';
import { newRequestId } from '../../plugins/wire/rpc.ts';
import { type ClientTokenRequest, makeClientToken } from '../../plugins/wire/tokens/client.ts';
import { publicHex, seedHex } from '../../plugins/wire/tokens/ed25519.ts';
import { requestText } from '../../plugins/wire/v1/messages.ts';
import { freePort, temporaryFolder, until, writeBundle } from './folders.ts';
import { startHost, type TestHost, type TestHostOptions } from './hosts.ts';

/** An authorizer that goes by the claim `agents`, counts, and does what it is told instead. */
const authorizerModule = `
let mode = 'list';
export default {
  kind: 'authorizer', version: '1.0.0',
  create: (host) => ({ methods: {
    'authorizer/authorize': async ({ requests }) => ({ decisions: await Promise.all(requests.map(async (request) => {
      globalThis.__authorized?.push(request);
      if (request.data?.misbehave === 'throw') throw new Error('the authorizer broke');
      if (request.data?.misbehave === 'hang') await new Promise((resolve) => setTimeout(resolve, 60_000).unref());
      const list = request.claims?.agents ?? [];
      const allowed = list.some((entry) => entry === '*' || entry === request.agent + '.*' || entry === request.agent + '.' + request.action);
      return { allowed, reason: allowed ? 'listed' : 'not listed', explanation: allowed ? [] : ['Your list does not have ' + request.agent + '.' + request.action + '.'] };
    })) }),
  } }),
};
`;

/** Before a call counts as one that is not answered; a busy machine is late with a thousand at once. */
const silentMs = 50_000;

export interface User {
  readonly name: string;
  readonly key: KeyObject;
  readonly seed: string;
  readonly token: string;
}

export interface ServiceOptions {
  /** Members of the JSON file over those of this class. */
  readonly settings?: Readonly<Record<string, unknown>>;
  readonly signer?: Readonly<Record<string, unknown>>;
  readonly config?: Readonly<Record<string, unknown>>;
  readonly inlineAs?: 'persistent';
  readonly bundles?: readonly string[];
  /** Name of the certificate. */
  readonly certificate?: string;
  /** Of tokens; by default a key of its own. */
  readonly issuer?: KeyObject;
  /** Where it keeps what outlives it. */
  readonly stateFolder?: string;
  /** Another service whose users and folder it shares. */
  readonly beside?: SignerService;
  readonly start?: boolean;
}

export interface RequestPlan {
  readonly agent?: string;
  readonly action?: string;
  readonly data?: object;
  readonly body?: string;
  readonly caller?: string;
  readonly time?: number;
  readonly ttl?: number;
  readonly collective?: string;
  readonly filter?: Filter;
  readonly id?: string;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

export class SignerService {
  readonly folder: string;
  readonly port: number;
  readonly monitorPort: number;
  readonly issuer: KeyObject;
  readonly #remove: () => void;
  host: TestHost | undefined;

  private constructor(folder: string, port: number, monitorPort: number, issuer: KeyObject, remove: () => void) {
    this.folder = folder;
    this.port = port;
    this.monitorPort = monitorPort;
    this.issuer = issuer;
    this.#remove = remove;
  }

  static async start(authority: Authority, options: ServiceOptions = {}): Promise<SignerService> {
    const { path, remove } = temporaryFolder();
    const issuer = options.issuer ?? options.beside?.issuer ?? generateKeyPairSync('ed25519').privateKey;
    const service = new SignerService(path, await freePort(), await freePort(), issuer, remove);
    const config = await service.configure(authority, options);
    if (options.start !== false) service.host = await startHost(config);
    return service;
  }

  /** Writes all files. @returns how a host is started with them */
  async configure(authority: Authority, options: ServiceOptions): Promise<TestHostOptions> {
    const at = (name: string) => join(this.folder, name);
    writeFileSync(at('org.public'), publicHex(createPublicKey(this.issuer)));
    const name = options.certificate ?? 'signer.privileged.mcollective';
    const files = await issueFiles(authority, { commonName: name });
    writeFileSync(
      at('aaa.json'),
      JSON.stringify({
        site: 'mla1',
        port: this.port,
        monitor_port: this.monitorPort,
        listen: '127.0.0.1',
        monitor_listen: '127.0.0.1',
        disable_tls: true,
        signer: 'basicjwt',
        authorizer: 'testlist',
        auditors: ['logfile'],
        logfile_auditor: { logfile: at('audit.log') },
        basicjwt_signer: { signing_certificate: at('org.public'), max_validity: '2h', ...options.signer },
        ...options.settings,
      }),
    );
    const manifest =
      'bundle: testlist\nversion: 1.0.0\nplugins:\n  - { kind: authorizer, name: testlist, runner: inline, module: ./list.mjs, limits: { concurrency: 256 } }\n';
    writeBundle(at('bundles'), 'testlist', manifest, { 'list.mjs': authorizerModule });
    return {
      distribution: true,
      services: ['aaa'],
      bundles: [at('bundles'), ...(options.bundles ?? [])],
      configFile: at('aaa.conf'),
      ...(options.inlineAs && { inlineAs: options.inlineAs }),
      ...(options.stateFolder && { stateFolder: options.stateFolder }),
      config: {
        'plugin.security.provider': 'file',
        'plugin.security.file.certificate': files.cert,
        'plugin.security.file.key': files.key,
        'plugin.security.file.ca': files.ca,
        identity: 'aaa.test',
        'plugin.choria.network.connect_timeout': '20s',
        'plugin.aaa.config': at('aaa.json'),
        ...options.config,
      },
    };
  }

  /** Its own connection is made in the background; nobody hears calls over the brokers before. */
  async connected(): Promise<void> {
    await until('the service is connected', async () => {
      const status = await this.host?.host.call('service', 'aaa', 'service/status', {});
      return (status as { details: { connected: boolean } } | undefined)?.details.connected;
    });
  }

  async user(name: string, request: Partial<ClientTokenRequest> = {}): Promise<User> {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519');
    const token = await makeClientToken(
      { callerid: `up=${name}`, publicKey: publicHex(publicKey), agents: ['rpcutil.*'], validitySeconds: 3600, ...request },
      { key: { algorithm: 'EdDSA', key: this.issuer } },
    );
    return { name, key: privateKey, seed: seedHex(privateKey), token };
  }

  text(plan: RequestPlan = {}): string {
    const { agent = 'rpcutil', action = 'ping', data = {} } = plan;
    return requestText({
      id: plan.id ?? newRequestId(),
      sender: 'desk.test',
      caller: plan.caller ?? 'up=anna',
      collective: plan.collective ?? 'mcollective',
      agent,
      ttl: plan.ttl ?? 60,
      time: plan.time ?? Math.floor(Date.now() / 1000),
      filter: plan.filter ?? emptyFilter,
      body: plan.body ?? JSON.stringify({ agent, action, data }),
    });
  }

  call(user: User, text: string, over: Readonly<Record<string, unknown>> = {}): Readonly<Record<string, unknown>> {
    return {
      token: user.token,
      request: Buffer.from(text).toString('base64'),
      signature: sign(null, Buffer.from(text), user.key).toString('hex'),
      ...over,
    };
  }

  /** One request signed for a user, over HTTP. */
  sign(user: User, plan: RequestPlan | string = {}, over: Readonly<Record<string, unknown>> = {}): Promise<HttpAnswer> {
    const text = typeof plan === 'string' ? plan : this.text(plan);
    return this.post('/choria/v1/sign', JSON.stringify(this.call(user, text, over)));
  }

  post(path: string, body: string, headers: Readonly<Record<string, string>> = {}, method = 'POST'): Promise<HttpAnswer> {
    return send(this.port, path, body, { 'content-type': 'application/json', ...headers }, method);
  }

  async stop(): Promise<void> {
    await this.host?.stop();
    this.#remove();
  }
}

export function send(
  port: number,
  path: string,
  body: string,
  headers: Readonly<Record<string, string>>,
  method: string,
): Promise<HttpAnswer & { readonly headers: Readonly<Record<string, unknown>> }> {
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      { host: '127.0.0.1', port, path, method, headers, agent: false, timeout: silentMs },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const text = Buffer.concat(chunks).toString('utf8');
          const { statusCode: status = 0, headers: answered } = response;
          try {
            const value: unknown = text === '' ? {} : JSON.parse(text);
            resolve({
              status,
              body: typeof value === 'object' && value !== null ? (value as never) : { text: value },
              headers: answered,
            });
          } catch {
            resolve({ status, body: { text }, headers: answered });
          }
        });
      },
    );
    request.once('error', reject);
    request.once('timeout', () => request.destroy(new Error('no answer in time')));
    request.end(body);
  });
}

/** The secure request in an answer. @throws Error for a refusal */
export function secureOf({ body }: HttpAnswer): {
  readonly message: string;
  readonly signature: string;
  readonly pubcert: string;
} {
  if (typeof body.secure_request !== 'string') throw new Error(`it was not signed: ${JSON.stringify(body)}`);
  return JSON.parse(Buffer.from(body.secure_request, 'base64').toString('utf8'));
}
