// The AAA service: logins and signatures over HTTP, signatures as a service agent of the fleet, and what goes with them. Each
// part is there only if the configuration names it.

import { setTimeout as sleep } from 'node:timers/promises';
import { definePlugin, type Host } from '../../core/sdk/typescript/index.ts';
import { type AaaService, AaaSettingsError, aaaConfigKey, findAaaSettings, listOf, networksOf } from '../wire/aaa/settings.ts';
import type { BrokerConfig } from '../wire/brokers.ts';
import { defaultCollectives, type SecurityChoice, securityPlugin } from '../wire/security-plugin.ts';
import { Revocations } from '../wire/tokens/revocations.ts';
import { findProblems } from './checks.ts';
import { connect, connection } from './connect.ts';
import { descriptionRoutes } from './description.ts';
import { HttpListener, type TlsFiles } from './http.ts';
import { openLogins, problemsOfLogins } from './logins.ts';
import { RevocationKeeper } from './revocation-keeper.ts';
import { revokersOf } from './revokers.ts';
import { serveSignerAgent } from './sign/agent.ts';
import { type OpenSigner, openSigner, problemsOfSigner } from './sign/open.ts';
import { signRoute } from './sign/route.ts';

const mostConnections = 8_192;
const renewMs = 1_000;
/** What was revoked is waited for so long: until brokers are asked for it, and until they have told all of it. */
const [askedMs, toldMs] = [3_000, 10_000];
const pollMs = 20;

interface Config extends BrokerConfig, SecurityChoice {
  readonly 'plugin.aaa.config'?: string;
  readonly collectives?: readonly string[];
  readonly libdir?: readonly string[];
  readonly 'plugin.muster.aaa.replicas': number;
}

export default definePlugin({
  kind: 'service',
  version: '1.0.0',
  create: (host) => {
    const service = new AaaServiceRun(host);
    return {
      methods: { 'service/status': () => service.status() },
      activate: () => service.start(),
      shutdown: () => service.stop(),
    };
  },
});

class AaaServiceRun {
  readonly #host: Host;
  readonly #config: Config;
  #settings: AaaService = {};
  #listener: HttpListener | undefined;
  #signer: OpenSigner | undefined;
  #revocations = new Revocations();
  #keeper: RevocationKeeper | undefined;
  #usesBrokers = false;
  #isFollowing = false;
  /** Calls wait for it. */
  #known: Promise<void> | undefined;

  constructor(host: Host) {
    this.#host = host;
    this.#config = host.config as unknown as Config;
  }

  /** @throws AaaSettingsError with all that is wrong */
  async start(): Promise<void> {
    const host = this.#host;
    const file = this.#config['plugin.aaa.config'];
    if (file === undefined) throw new AaaSettingsError([`${aaaConfigKey} is not set; it names the JSON file of the service`]);
    const settings = await this.#checked(file);
    this.#settings = settings;
    const identity = this.#usesBrokers ? await connect(host, this.#config) : '';
    this.#isFollowing = this.#usesBrokers && settings.basicjwt_signer?.revocations !== false;
    if (this.#isFollowing) await this.#keepRevocations(file, settings);
    this.#known = this.#revocationsKnown();
    this.#signer = settings.signer === undefined ? undefined : await this.#openSigner(settings);
    await this.#listen(file, settings);
    await this.#serveAgent(identity, settings);
    await this.#showNumbers(settings);
    await host.timers.set({ id: 'renew', everyMs: renewMs }, () => this.#renew());
    host.log.info(`the AAA service ${whatRuns(settings)}`);
  }

  /** Everything is looked at before anything is opened, so that all that is wrong is said at once. @throws AaaSettingsError */
  async #checked(file: string): Promise<AaaService> {
    const { settings, problems, warnings } = findAaaSettings(file);
    for (const warning of warnings) this.#host.log.warn(warning);
    this.#usesBrokers = usesBrokers(settings, this.#config);
    const all = [
      ...problems,
      ...(await findProblems(this.#host, file, settings)),
      ...(await problemsOfLogins(this.#loginParts(file, settings))),
      ...(await problemsOfSigner(this.#host, settings)),
    ];
    if (all.length > 0) throw new AaaSettingsError([...new Set(all)]);
    return settings;
  }

  async stop(): Promise<void> {
    await this.#listener?.stop();
    await this.#signer?.signer.drained();
  }

  async status(): Promise<{ healthy: boolean; summary: string; details: object }> {
    const { connected } = this.#usesBrokers ? await this.#host.bus.info(connection) : { connected: true };
    // What comes over HTTP is signed while the brokers are away.
    const needsBroker = this.#settings.basicjwt_signer?.choria_service === true && (this.#settings.port ?? 0) === 0;
    const isStarted = this.#listener !== undefined || this.#signer !== undefined;
    const broker = connected || !needsBroker ? undefined : 'it is not connected to a broker';
    const trouble = isStarted ? (broker ?? this.#signer?.trouble()) : 'it is starting';
    const healthy = trouble === undefined;
    const summary = trouble ?? `it ${whatRuns(this.#settings)}`;
    return {
      healthy,
      summary,
      details: {
        connected,
        revocations: this.#revocations.size,
        revocationsCurrent: this.#revocations.current,
        revocationsRefused: this.#revocations.refused,
        revocationsRestored: this.#keeper?.restored ?? 0,
        running: this.#signer?.signer.running ?? 0,
      },
    };
  }

  #openSigner(settings: AaaService): Promise<OpenSigner> {
    const libdirs = this.#config.libdir ?? [];
    return openSigner({ host: this.#host, settings, libdirs, revocations: this.#revocations });
  }

  async #keepRevocations(file: string, settings: AaaService): Promise<void> {
    const trust = async () => (await revokersOf(file, settings)).trust;
    const keeper = new RevocationKeeper(this.#host, { connection, replicas: this.#config['plugin.muster.aaa.replicas'], trust });
    this.#keeper = keeper;
    this.#revocations = keeper.revocations;
    await keeper.start();
  }

  #loginParts(file: string, settings: AaaService): Parameters<typeof openLogins>[0] {
    const brokers = this.#usesBrokers ? connection : undefined;
    return { host: this.#host, file, settings, revocations: this.#revocations, known: this.#known, connection: brokers };
  }

  async #listen(file: string, settings: AaaService): Promise<void> {
    const { port = 0, listen: address, allowed_clients: allowed, max_connections = mostConnections } = settings;
    if (port === 0) return;
    const { log } = this.#host;
    const networks = allowed && networksOf(allowed);
    const tls = tlsFiles(settings);
    const listener = new HttpListener({
      port,
      routes: [
        ...(await openLogins(this.#loginParts(file, settings))),
        signRoute(this.#signer && ((call) => this.#sign(call))),
        ...descriptionRoutes(),
      ],
      mostConnections: max_connections,
      onTrouble: (message) => log.warn(message),
      ...(address !== undefined && { address }),
      ...(tls && { tls }),
      ...(networks && 'list' in networks && { allowed: networks.list }),
    });
    await listener.start();
    this.#listener = listener;
  }

  async #serveAgent(identity: string, { basicjwt_signer }: AaaService): Promise<void> {
    if (!this.#signer || basicjwt_signer?.choria_service !== true) return;
    await serveSignerAgent({
      host: this.#host,
      connection,
      identity,
      security: securityPlugin(this.#config),
      collectives: this.#config.collectives ?? defaultCollectives(this.#config),
      sign: (call) => this.#sign(call),
    });
  }

  /** What was revoked while it did not run counts from the first call on, unless the brokers are away. */
  async #revocationsKnown(): Promise<void> {
    const begun = performance.now();
    const isLate = () => performance.now() - begun > (this.#keeper?.isComing ? toldMs : askedMs);
    while (this.#isFollowing && !this.#revocations.current && !isLate()) await sleep(pollMs);
  }

  async #showNumbers({ monitor_port: port = 0, monitor_listen: address = '0.0.0.0' }: AaaService): Promise<void> {
    await this.#host.metrics.onCollect(() => this.#signer?.tellNumbers());
    if (port === 0) return;
    const place = { port, address, key: 'monitor_port', service: 'aaa' };
    await this.#host.plugins.call('exporter', 'listener', 'exporter/listen', place);
  }

  async #sign(call: Parameters<OpenSigner['signer']['sign']>[0]): ReturnType<OpenSigner['signer']['sign']> {
    if (!this.#signer) throw new Error('there is no signer');
    if (!this.#revocations.current) await this.#known;
    return this.#signer.signer.sign(call);
  }

  #renew(): void {
    this.#listener?.renewCertificate();
    this.#signer?.renew();
  }
}

function usesBrokers({ basicjwt_signer, signer }: AaaService, config: Config): boolean {
  if (basicjwt_signer?.choria_service === true && signer !== undefined) return true;
  return basicjwt_signer?.revocations ?? (config['plugin.choria.middleware_hosts'] ?? []).length > 0;
}

function tlsFiles({
  disable_tls,
  tls_certificate: certificate,
  tls_key: key,
  tls_ca,
  tls_client_ca,
}: AaaService): TlsFiles | undefined {
  if (disable_tls === true || certificate === undefined || key === undefined) return undefined;
  const ca = tls_ca ?? tls_client_ca;
  return { certificate, key, ...(ca !== undefined && { clients: { ca, required: tls_ca !== undefined } }) };
}

function whatRuns({ authenticator, signer, authorizer, basicjwt_signer, port = 0 }: AaaService): string {
  const logins = listOf(authenticator);
  const parts = [
    ...(logins.length > 0 ? [`takes logins by ${logins.join(', ')}`] : []),
    ...(signer !== undefined ? [`signs what ${authorizer} allows`] : []),
  ];
  const ways = [...(port > 0 ? [`on port ${port}`] : []), ...(basicjwt_signer?.choria_service === true ? ['as aaa_signer'] : [])];
  return `${parts.join(' and ')} ${ways.join(' and ')}`;
}
