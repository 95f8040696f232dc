// The agent choria_provision: what a provisioner asks of this node. One action at a time, each first past the lock, the mode and
// the token.

import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type ActionCall, ActionError, defineAgent, type Host } from '../../core/sdk/typescript/index.ts';
import { machineIdentity } from '../wire/identity.ts';
import { newTransitKeys, type TransitKeys } from '../wire/provisioning/key-transit.ts';
import { writeRenewalMark } from '../wire/provisioning/renewal-mark.ts';
import { trimmed } from '../wire/tokens/jwt.ts';
import { readProvisioningToken } from '../wire/tokens/provisioning.ts';
import { configure } from './configure.ts';
import { Input } from './input.ts';
import { makeKeyAndRequest, makeSeed } from './keys.ts';
import { isSame, Lock } from './lock.ts';
import { Renewal } from './renewal.ts';
import { readSubject } from './subject.ts';

interface AgentConfig {
  readonly identity?: string;
  readonly 'plugin.choria.ssldir'?: string;
  readonly 'plugin.muster.provisioning.active': boolean;
  readonly 'plugin.muster.provisioning.token'?: string;
  readonly 'plugin.muster.provisioning.prepared_key'?: string;
  /** Milliseconds. */
  readonly 'plugin.muster.provisioning.restart_delay': number;
}

/** Seconds. */
const [defaultSplay, mostSplay, shutdownSplay, reprovisionSplay] = [10, 3_600, 10, 10];

/** What an action asks for before it does anything. */
interface Rule {
  /** Where it may be done. */
  readonly when: 'in provisioning' | 'outside' | 'anywhere';
  readonly takesLock: boolean;
}

const working: Rule = { when: 'in provisioning', takesLock: true };
const ending: Rule = { when: 'anywhere', takesLock: false };

export default defineAgent({
  name: 'choria_provision',
  version: '0.1.0',
  create: (host) => {
    const node = new ProvisionedNode(host);
    return {
      activate: () => node.start(),
      actions: {
        jwt: node.action(working, () => node.showToken()),
        gen25519: node.action(working, (input) => makeSeed(node.folder, input.text('nonce'))),
        gencsr: node.action(working, (input) => node.makeRequest(input)),
        configure: node.action(working, (input, call) => node.configure(input, call)),
        release_update: node.action(working, () => {
          throw new ActionError('this version of Muster does not replace itself; update it as it was installed');
        }),
        restart: node.action(ending, (input) => node.restart(input)),
        shutdown: node.action(ending, () => node.shutdown()),
        reprovision: node.action({ when: 'outside', takesLock: false }, (_input, call) => node.reprovision(call)),
      },
    };
  },
});

class ProvisionedNode {
  readonly #host: Host;
  readonly #config: AgentConfig;
  readonly #lock = new Lock();
  readonly #renewal: Renewal;
  /** The end of what is being done; actions wait for each other. */
  #last: Promise<unknown> = Promise.resolve();
  #transit: TransitKeys | undefined;
  #configFile = '';
  /** What was answered when its end was ordered. */
  #ending: string | undefined;

  constructor(host: Host) {
    this.#host = host;
    this.#config = host.config as unknown as AgentConfig;
    this.#renewal = new Renewal(host, async () => this.#ending ?? (await this.#restartAfter(0)));
  }

  start(): Promise<void> {
    return this.#renewal.start((what) => this.#inTurn(what));
  }

  get folder(): string {
    return dirname(this.#configFile);
  }

  get #ssldir(): string {
    return this.#config['plugin.choria.ssldir'] ?? join(this.folder, 'ssl');
  }

  get #isProvisioning(): boolean {
    return this.#config['plugin.muster.provisioning.active'];
  }

  action(rule: Rule, perform: (input: Input, call: ActionCall) => unknown) {
    return (data: unknown, call: ActionCall) =>
      this.#inTurn(async () => {
        const input = await this.#admit(rule, data, call);
        return perform(input, call);
      });
  }

  #inTurn<T>(what: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(what);
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  /** Lock, mode, configuration file, types, token: in the order of Choria's agent. @throws ActionError */
  async #admit({ when, takesLock }: Rule, data: unknown, { action, request }: ActionCall): Promise<Input> {
    const token = await this.#token();
    const shown = tokenIn(data);
    const isTrusted = token === undefined || (shown !== undefined && isSame(shown, token));
    if (takesLock) {
      const { sender = '', caller = '' } = request;
      const refused = this.#lock.take({ sender, caller, epoch: epochIn(data), isTrusted }, Date.now());
      if (refused !== undefined) throw new ActionError(refused);
    }
    if (when === 'in provisioning' && !this.#isProvisioning)
      throw new ActionError(`${action} is for nodes in provisioning mode; this one serves. reprovision sends it there`);
    if (when === 'outside' && this.#isProvisioning) throw new ActionError('this node is in provisioning mode already');
    if (when === 'anywhere' && !this.#isProvisioning && token === undefined)
      throw new ActionError(`${action} needs a provisioning token, and this node has none`);
    this.#configFile = await this.#findConfigFile();
    const input = new Input(data);
    input.whole('epoch');
    if (token !== undefined && !isSame(input.text('token'), token))
      throw new ActionError('the token is not the one that this node was given');
    if (this.#ending !== undefined && takesLock) throw new ActionError('this node ends in a moment');
    return input;
  }

  async #token(): Promise<string | undefined> {
    const text = this.#readTokenFile();
    return text === undefined ? undefined : (await readProvisioningToken(text)).cht;
  }

  #readTokenFile(): string | undefined {
    const file = this.#config['plugin.muster.provisioning.token'];
    if (file === undefined) return undefined;
    try {
      return trimmed(readFileSync(file, 'utf8'));
    } catch (error) {
      throw new ActionError(`the provisioning token ${file} can not be read: ${(error as Error).message}`);
    }
  }

  async #findConfigFile(): Promise<string> {
    const { configFile: file } = await this.#host.control.info();
    if (!file) throw new ActionError('this node was started without a configuration file, so there is none to write');
    return file;
  }

  showToken(): { jwt: string; ecdh_public: string } {
    const jwt = this.#readTokenFile();
    if (jwt === undefined) throw new ActionError('this node has no provisioning token');
    this.#transit = newTransitKeys();
    return { jwt, ecdh_public: this.#transit.publicHex };
  }

  async makeRequest(input: Input): Promise<object> {
    const { subject, names } = readSubject(input, machineIdentity(this.#config.identity));
    return makeKeyAndRequest(this.#ssldir, {
      subject,
      names,
      preparedKey: this.#config['plugin.muster.provisioning.prepared_key'],
    });
  }

  async configure(input: Input, { request }: ActionCall): Promise<{ message: string }> {
    const { id = '', caller = '', sender = '' } = request;
    const { path, lines } = await configure(input, {
      configFile: this.#configFile,
      ssldir: this.#ssldir,
      transit: this.#transit,
      comment: oneLine(`request ${id} of ${caller} on ${sender} at ${new Date().toISOString()}`),
      problemsOf: async (file) => (await this.#host.control.readConfig(file)).problems,
    });
    await this.#host.events.emit('node/provisioned', {});
    await this.#renewal.configured();
    return { message: `Wrote ${lines} lines to ${path}` };
  }

  async restart(input: Input): Promise<{ message: string }> {
    const splay = input.whole('splay') || defaultSplay;
    if (this.#ending !== undefined) return { message: this.#ending };
    const { problems, values } = await this.#host.control.readConfig(this.#configFile);
    if (problems.length > 0) throw new ActionError(`this node could not start again: ${problems.join('; ')}`);
    if (values['plugin.choria.server.provision'] === true)
      throw new ActionError(`${this.#configFile} still asks for provisioning; configure the node first`);
    return this.#restart(splay);
  }

  async shutdown(): Promise<{ message: string }> {
    if (this.#ending !== undefined) return { message: this.#ending };
    const afterMs = randomUpTo(shutdownSplay) * 1000;
    return this.#endIn(afterMs, `Shutting down in ${afterMs / 1000}s`, () =>
      this.#host.control.stop('a provisioner asked for it', 0),
    );
  }

  /** What the node has stays, until what it gets is there whole. */
  async reprovision({ request }: ActionCall): Promise<{ message: string }> {
    if (this.#ending !== undefined) return { message: this.#ending };
    const reason = oneLine(`${request.caller ?? 'somebody'} asked for it`);
    writeRenewalMark(this.#configFile, { version: 1, state: 'wanted', reason, since: Date.now() });
    return this.#restart(reprovisionSplay);
  }

  #restart(splaySeconds: number): Promise<{ message: string }> {
    const splay = Math.min(Math.max(splaySeconds, 1), mostSplay);
    return this.#restartAfter(randomUpTo(splay) * 1000);
  }

  #restartAfter(ms: number): Promise<{ message: string }> {
    const afterMs = ms + this.#config['plugin.muster.provisioning.restart_delay'];
    return this.#endIn(afterMs, `Restarting in ${afterMs / 1000}s`, () =>
      this.#host.control.restart('a provisioner asked for it'),
    );
  }

  /** Answers first; whoever watches hears of it before it happens. */
  async #endIn(afterMs: number, message: string, end: () => Promise<void>): Promise<{ message: string }> {
    this.#ending = message;
    await this.#host.events.emit('node/leaving', {});
    await this.#host.timers.set({ id: 'end', afterMs }, end);
    return { message };
  }
}

function tokenIn(data: unknown): string | undefined {
  const token = valueIn(data, 'token');
  return typeof token === 'string' ? token : undefined;
}

function epochIn(data: unknown): number | undefined {
  const epoch = valueIn(data, 'epoch');
  return typeof epoch === 'number' && Number.isSafeInteger(epoch) ? epoch : undefined;
}

function valueIn(data: unknown, key: string): unknown {
  return typeof data === 'object' && data !== null && Object.hasOwn(data, key)
    ? (data as Record<string, unknown>)[key]
    : undefined;
}

/** A whole number from 0 on, below `limit`. */
function randomUpTo(limit: number): number {
  return Math.floor(Math.random() * limit);
}

/** Texts of others, in a comment. */
function oneLine(text: string): string {
  return text.replaceAll(/\p{C}/gu, ' ').slice(0, 300);
}
