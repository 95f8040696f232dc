// The provisioner: finds machines that wait on the provisioning network and enrols them, one of several at a time if they elect.

import { randomUUID } from 'node:crypto';
import { definePlugin, type Host } from '../../core/sdk/typescript/index.ts';
import { Election } from '../wire/election.ts';
import { machineIdentity } from '../wire/identity.ts';
import { lifecycleEvent, lifecycleSubject, readLifecycleEvent } from '../wire/lifecycle.ts';
import { isNodeName } from '../wire/subjects.ts';
import { type ProvisionerConfig, readSettings, type Settings } from './config.ts';
import { connectService, overlay } from './connect.ts';
import { Control } from './control.ts';
import { Enrolment } from './enrolment.ts';
import { ProvisionerError } from './errors.ts';
import { FileStore } from './file-store.ts';
import { Hook } from './hook.ts';
import { Journal } from './journal.ts';
import { BucketLease, type Candidate, ChoriaLease, choriaEveryMs, choriaTtlMs, musterEveryMs, musterTtlMs } from './leases.ts';
import { connection, NodeRpc, pause } from './node-rpc.ts';
import { RpcNumbers, tellNumbers } from './numbers.ts';
import { type Status, statusOf } from './status.ts';
import { BucketStore, hasNoBuckets, type Store } from './store.ts';
import { Work } from './work.ts';

const lookMs = 250;
const retryStoreMs = 1_000;
const pollMs = 1_000;
/** Events that wait; whoever is dropped past it is found by the next search. */
const limit = 50_000;

export default definePlugin({
  kind: 'service',
  version: '1.0.0',
  create: (host) => {
    const provisioner = new Provisioner(host);
    return {
      methods: { 'service/status': () => provisioner.serviceStatus() },
      activate: () => provisioner.start(),
      shutdown: () => provisioner.stop(),
    };
  },
});

class Provisioner {
  readonly #host: Host;
  readonly #config: ProvisionerConfig;
  readonly #settings: Settings;
  readonly #journal: Journal;
  readonly #hook: Hook;
  readonly #rpcNumbers = new RpcNumbers();
  readonly #ending = new AbortController();
  readonly #loops: Promise<void>[] = [];
  readonly #candidate: Candidate;
  #work: Work | undefined;
  #rpc: NodeRpc | undefined;
  #store: Store | undefined;
  #election: Election | undefined;
  #lease: { readonly holder: string | undefined } | undefined;
  /** Of this leader; 0 while it does not lead. */
  #epoch = 0;
  #alone = false;
  #paused = false;
  #problem = 'it is starting';
  #stopping: Promise<void> = Promise.resolve();

  constructor(host: Host) {
    this.#host = host;
    this.#config = host.config as unknown as ProvisionerConfig;
    this.#settings = readSettings(this.#config);
    this.#journal = new Journal(host);
    this.#hook = new Hook(host, this.#settings.hook);
    this.#candidate = { id: randomUUID().replaceAll('-', ''), identity: machineIdentity(this.#config.identity) };
  }

  async start(): Promise<void> {
    const host = this.#host;
    const settings = this.#settings;
    const who = await connectService(host, this.#config, settings);
    const rpc = new NodeRpc(host, who, {
      onDiscovered: (identity) => isNodeName(identity) && this.#work?.discovered(identity),
      onNamesake: (identity) => this.#journal.namesake(identity),
      onCall: (name, ms, ok) => this.#rpcNumbers.add(name, ms, ok),
    });
    this.#rpc = rpc;
    const enrolment = new Enrolment({
      host,
      settings,
      rpc,
      hook: this.#hook,
      store: () => this.#neededStore(),
      epoch: () => this.#currentEpoch(),
      onStep: (node, step) => {
        node.step = step;
        if (step !== 'restarted') this.#journal.step(node, step);
      },
    });
    const parts = { host, settings, enrolment, hook: this.#hook, journal: this.#journal, leads: () => this.#leads };
    this.#work = new Work(parts);
    await rpc.start();
    await host.bus.subscribe(
      { connection, id: 'startups', subject: lifecycleSubject('startup', settings.component), limit },
      ({ payload }) => this.#event(payload, (identity, id) => this.#work?.announced(identity, id)),
    );
    if (settings.overlayUrls.length > 0)
      await host.bus.subscribe(
        { connection: overlay, id: 'arrivals', subject: lifecycleSubject('startup', 'server'), limit },
        ({ payload }) => this.#event(payload, (identity) => this.#work?.cameUp(identity)),
      );
    await new Control(host, {
      status: () => this.status(),
      setPaused: (paused) => this.#setPaused(paused),
    }).start();
    await host.metrics.onCollect(() =>
      tellNumbers(host, { status: this.status(), journal: this.#journal, hook: this.#hook, rpc: this.#rpcNumbers, settings }),
    );
    if (settings.monitorPort > 0)
      await host.plugins.call('exporter', 'listener', 'exporter/listen', {
        port: settings.monitorPort,
        address: '0.0.0.0',
        key: 'plugin.provisioner.monitor_port',
      });
    const hooks = (await host.plugins.list('provisioning-hook')).map(({ name }) => name);
    if (!hooks.includes(settings.hook))
      host.log.error(
        `there is no provisioning hook ${settings.hook}, so that no node is enrolled; there are ${hooks.join(', ')}`,
      );
    if (!settings.features.jwt)
      host.log.warn(
        'plugin.provisioner.features.jwt is off, so that whoever reaches the provisioning network may be enrolled; the hook alone decides',
      );
    if (settings.insecure)
      host.log.warn(
        'plugin.provisioner.choria_insecure is on, so that tokens and configurations can be read and changed on their way',
      );
    this.#loops.push(this.#run());
  }

  async stop(): Promise<void> {
    this.#ending.abort();
    await this.#election?.stop();
    this.#alone = false;
    await this.#lose('it stops');
    await this.#stopping;
    await Promise.allSettled(this.#loops);
    await this.#store?.close();
  }

  status(): Status {
    return statusOf({
      candidate: this.#candidate,
      leads: this.#leads,
      leader: this.#lease ? this.#lease.holder : this.#candidate.identity,
      epoch: this.#epoch,
      paused: this.#paused,
      store: this.#store?.kind,
      problem: this.#problem,
      settings: this.#settings,
      journal: this.#journal,
      work: this.#work,
      strange: this.#rpc?.strange ?? 0,
    });
  }

  serviceStatus(): { healthy: boolean; summary: string; details: object } {
    const status = this.status();
    return { healthy: status.problem === undefined, summary: status.problem ?? status.summary, details: { ...status } };
  }

  get #leads(): boolean {
    return this.#epoch > 0 && (this.#alone || this.#election?.leads === true);
  }

  /** @throws ProvisionerError `PROVISIONER_LOST` */
  #currentEpoch(): number {
    if (this.#leads) return this.#epoch;
    throw new ProvisionerError('PROVISIONER_LOST', 'this provisioner does not lead any more');
  }

  #neededStore(): Store {
    if (this.#store) return this.#store;
    throw new ProvisionerError('PROVISIONER_LOST', 'this provisioner has nowhere to write yet');
  }

  #event(payload: Uint8Array, then: (identity: string, id: string) => void): void {
    const told = readLifecycleEvent(Buffer.from(payload).toString('utf8'));
    if (told?.type === 'startup' && isNodeName(told.event.identity)) then(told.event.identity, told.event.id);
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    try {
      await this.#connected(signal);
      await this.#tellStartup();
      this.#store = await this.#openStore(signal);
      await this.#lead(signal);
      for (;;) {
        await this.#poll();
        await pause(pollMs, signal);
      }
    } catch (error) {
      if (!signal.aborted) this.#host.log.error(`the provisioner does not go on: ${(error as Error).message}`);
    }
  }

  async #connected(signal: AbortSignal): Promise<void> {
    this.#problem = 'it is not connected to a provisioning broker';
    while (!(await this.#host.bus.info(connection)).connected) await pause(lookMs, signal);
    this.#problem = '';
  }

  /** In the bare form, as Choria's provisioner has it. */
  async #tellStartup(): Promise<void> {
    const { version } = await this.#host.control.info();
    const about = { identity: this.#candidate.identity, component: 'provisioner', version, now: new Date() };
    const { data } = lifecycleEvent('startup', about);
    const subject = lifecycleSubject('startup', 'provisioner');
    await this.#host.bus.publish({ connection, subject, payload: Buffer.from(JSON.stringify(data)) });
  }

  async #openStore(signal: AbortSignal): Promise<Store> {
    const { log, stateFolder } = this.#host;
    for (let said = ''; ; ) {
      try {
        const store = new BucketStore(this.#host);
        await store.open(this.#settings.replicas);
        return store;
      } catch (error) {
        const { message } = error as Error;
        if (hasNoBuckets(error) && stateFolder !== null) {
          log.warn('the provisioning brokers have no JetStream for this provisioner, so it keeps its work in its state folder');
          return new FileStore(stateFolder);
        }
        this.#problem = `it can not keep what it does: ${message}`;
        if (message !== said) log.warn(`the provisioner can not keep what it does: ${message}; trying again`);
        said = message;
        await pause(retryStoreMs, signal);
      } finally {
        if (!signal.aborted) this.#problem = this.#problem.startsWith('it can not keep') ? this.#problem : '';
      }
    }
  }

  async #lead(signal: AbortSignal): Promise<void> {
    this.#problem = '';
    if (!this.#settings.elects) {
      this.#alone = true;
      this.#win();
      return;
    }
    const choria = this.#settings.election === 'choria';
    const lease = choria
      ? new ChoriaLease(this.#host, this.#candidate)
      : new BucketLease(this.#host, this.#candidate, this.#settings.replicas);
    if (lease instanceof ChoriaLease) await lease.start();
    this.#lease = lease;
    let said = '';
    this.#election = new Election({
      lease,
      ttlMs: choria ? choriaTtlMs : musterTtlMs,
      everyMs: choria ? choriaEveryMs : musterEveryMs,
      holdsNeeded: choria ? 2 : 1,
      onWon: () => this.#win(),
      onLost: (reason) => void this.#lose(reason),
      onTrouble: (message) => {
        if (message !== said) this.#host.log.warn(`the election of a provisioner: ${message}; trying again`);
        said = message;
      },
    });
    if (!signal.aborted) this.#election.start();
  }

  #win(): void {
    this.#loops.push(
      this.#takeOver().catch(async (error: Error) => {
        if (this.#ending.signal.aborted) return;
        this.#host.log.error(`this provisioner was to lead and can not: ${error.message}; trying again`);
        await this.#election?.resign('it can not work');
        if (!this.#alone) return;
        await pause(retryStoreMs, this.#ending.signal).catch(() => undefined);
        this.#win();
      }),
    );
  }

  async #takeOver(): Promise<void> {
    await this.#stopping;
    const store = this.#neededStore();
    const [epoch, records] = [await store.nextEpoch(), await store.load()];
    await this.#readPause();
    if (!this.#alone && this.#election?.leads !== true) return;
    // From here on it says that it leads, and hears who announces himself, without a moment in between.
    this.#epoch = epoch;
    this.#host.log.info(`this provisioner leads, with epoch ${epoch}`, { records: records.length });
    this.#work?.start(records);
    await this.#discover();
    const lead = this.#epoch;
    this.#loops.push(this.#searchWhile(() => this.#epoch === lead));
  }

  async #searchWhile(goesOn: () => boolean): Promise<void> {
    const { signal } = this.#ending;
    for (;;) {
      await pause(this.#settings.intervalMs, signal).catch(() => undefined);
      if (signal.aborted || !goesOn()) return;
      await this.#discover();
    }
  }

  async #discover(): Promise<void> {
    if (this.#paused || !this.#leads) return;
    this.#journal.counters.discoveries += 1;
    try {
      await this.#rpc?.discover();
    } catch (error) {
      this.#journal.counters.discoveryErrors += 1;
      this.#host.log.warn(`nodes could not be searched for: ${(error as Error).message}`);
    }
  }

  async #lose(reason: string): Promise<void> {
    if (this.#epoch === 0) return;
    this.#epoch = 0;
    this.#host.log.info(`this provisioner does not lead any more: ${reason}`);
    this.#stopping = this.#work?.stop(new ProvisionerError('PROVISIONER_LOST', reason)) ?? Promise.resolve();
    await this.#stopping;
  }

  async #poll(): Promise<void> {
    const { connected } = await this.#host.bus.info(connection);
    this.#problem = connected ? '' : 'it is not connected to a provisioning broker';
    if (!connected) return;
    await this.#readPause().catch((error: Error) => {
      this.#problem = `it can not read what it keeps: ${error.message}`;
    });
  }

  async #readPause(): Promise<void> {
    const paused = await this.#neededStore().isPaused();
    if (paused !== this.#paused) this.#host.log.info(paused ? 'enrolling is paused' : 'enrolling goes on');
    this.#paused = paused;
    if (this.#work) this.#work.paused = paused;
    if (!paused) this.#work?.resumeWork();
  }

  async #setPaused(paused: boolean): Promise<void> {
    await this.#neededStore().setPaused(paused);
    await this.#readPause();
    if (!paused) await this.#discover();
  }
}
