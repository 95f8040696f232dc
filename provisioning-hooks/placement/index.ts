// A provisioning hook that chooses the overlay of a node, has another hook sign for it, and adds what makes it a node of that
// overlay.

import { type Call, definePlugin, type Host } from '../../core/sdk/typescript/index.ts';
import { HookError } from '../../plugins/wire/provisioning/errors.ts';
import type { Placement } from '../../plugins/wire/provisioning/overlay-placements.ts';
import {
  checkHookReply,
  type ProvisionReply,
  type ProvisionRequest,
  type Revocation,
} from '../../plugins/wire/provisioning/reply.ts';
import { choose } from './choose.ts';
import { Ledger } from './ledger.ts';
import { type Candidate, type Overlay, OverlayFile } from './overlays.ts';
import { openStore, type PlacementStore } from './store.ts';

const kind = 'provisioning-hook';
const hookKey = 'plugin.muster.placement.hook';
const usualFolder = '/etc/choria/ssl';
const pruneMs = 3_600_000;

export default definePlugin({
  kind,
  version: '1.0.0',
  create: (host) => {
    const hook = new PlacementHook(host);
    return {
      methods: {
        'hook/provision': (request: ProvisionRequest, call: Call) => hook.provision(request, call),
        'hook/revoke': (revocation: Revocation, call: Call) => hook.revoke(revocation, call),
      },
    };
  },
});

class PlacementHook {
  readonly #host: Host;
  readonly #ledger = new Ledger();
  readonly #signer: string;
  readonly #forgetMs: number;
  #file: OverlayFile | undefined;
  #opening: Promise<PlacementStore> | undefined;
  #prunedAt = 0;

  constructor(host: Host) {
    this.#host = host;
    const { [hookKey]: signer = 'built-in-ca', 'plugin.muster.placement.forget_after': forgetMs } = host.config;
    this.#signer = String(signer);
    this.#forgetMs = Number(forgetMs);
  }

  async provision(request: ProvisionRequest, call: Call): Promise<ProvisionReply> {
    const node = readCandidate(request);
    const { store, plan } = await this.#open();
    // From here to the promise nothing waits, so that two nodes do not get one place.
    const choice = choose(node, plan, this.#ledger, Date.now());
    if ('reason' in choice) return { defer: true, msg: `there is no overlay for ${node.identity}: ${choice.reason}` };
    const before = this.#ledger.get(node.identity);
    this.#ledger.set(choice.placement);
    try {
      const answer = checkHookReply(await this.#ask('hook/provision', { ...request }, call));
      if (answer.defer || answer.shutdown) {
        this.#takeBack(choice.placement, before);
        return answer;
      }
      await store.write(choice.placement);
      this.#ledger.set(choice.placement);
      return withOverlay(answer, choice.overlay, request);
    } catch (error) {
      this.#takeBack(choice.placement, before);
      throw error;
    }
  }

  revoke(revocation: Revocation, call: Call): Promise<unknown> {
    return this.#ask('hook/revoke', { ...revocation }, call);
  }

  /** @throws HookError `HOOK_CONFIG`; whatever keeps placements from being read, and the next call tries again */
  async #open(): Promise<{ store: PlacementStore; plan: ReturnType<OverlayFile['read']> }> {
    if (this.#signer === this.#host.plugin)
      throw new HookError(
        'HOOK_CONFIG',
        `${hookKey} names the hook placement itself; name the one that signs, such as built-in-ca`,
      );
    this.#file ??= new OverlayFile(this.#host.config['plugin.muster.placement.overlays'] as string | undefined);
    this.#file.read();
    this.#opening ??= openStore(this.#host, this.#ledger, this.#forgetMs).catch((error: unknown) => {
      this.#opening = undefined;
      throw error;
    });
    const store = await this.#opening;
    const now = Date.now();
    if (now - this.#prunedAt > pruneMs) {
      this.#prunedAt = now;
      this.#ledger.forget(now - this.#forgetMs);
    }
    return { store, plan: this.#file.read() };
  }

  #ask(method: string, params: Record<string, unknown>, call: Call): Promise<unknown> {
    return this.#host.plugins.call(kind, this.#signer, method, params as never, { signal: call.signal, for: call });
  }

  /** A promise that came to nothing, unless another call made one since. */
  #takeBack(placement: Placement, before: Placement | undefined): void {
    if (this.#ledger.get(placement.identity) !== placement) return;
    if (before) this.#ledger.set(before);
    else this.#ledger.remove(placement.identity);
  }
}

/** @throws HookError `HOOK_REFUSED` for an inventory that is none */
function readCandidate({ identity, inventory, jwt }: ProvisionRequest): Candidate {
  let told: { facts?: unknown; classes?: unknown; agents?: unknown } | null;
  try {
    told = JSON.parse(inventory) as typeof told;
  } catch (error) {
    throw new HookError('HOOK_REFUSED', `the inventory of ${identity} is no JSON`, { cause: error });
  }
  const words = (list: unknown) => (Array.isArray(list) ? list.filter((word) => typeof word === 'string') : []);
  const { extensions, ou } = (jwt ?? {}) as { extensions?: unknown; ou?: unknown };
  return {
    identity,
    facts: told?.facts ?? {},
    classes: words(told?.classes),
    agents: words(told?.agents),
    extensions,
    ou: typeof ou === 'string' ? ou : undefined,
  };
}

/** What the overlay says counts more than what the signing hook said. */
function withOverlay(answer: ProvisionReply, overlay: Overlay, { identity, csr }: ProvisionRequest): ProvisionReply {
  const values: Readonly<Record<string, string>> = { identity, ssldir: csr?.ssldir || answer.ssldir || usualFolder };
  const filled = (value: string | number | boolean) =>
    String(value).replace(/\{\{(\w+)\}\}/g, (whole, name: string) => values[name] ?? whole);
  const settings = Object.entries(overlay.settings ?? {}).map(([key, value]) => [key, filled(value)] as const);
  const policies = (key: 'action_policies' | 'opa_policies') =>
    overlay[key] ? { [key]: { ...answer[key], ...overlay[key] } } : {};
  return {
    ...answer,
    configuration: {
      ...answer.configuration,
      'plugin.choria.middleware_hosts': overlay.brokers.join(','),
      ...(overlay.collectives && { collectives: overlay.collectives.join(','), main_collective: overlay.collectives[0] ?? '' }),
      ...Object.fromEntries(settings),
    },
    ...policies('action_policies'),
    ...policies('opa_policies'),
  };
}
