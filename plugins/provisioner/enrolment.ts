// One attempt with one node, step by step. Before each step it is made sure that this provisioner still leads and that nobody
// else works on the node; what was reached is written down, for whoever has to go on.

import { randomUUID } from 'node:crypto';
import { type NodeInventoryReply, validate as validateInventory } from '#schemas/muster/provisioning/v1/node_inventory';
import { type NodeKeyReply, validate as validateKey } from '#schemas/muster/provisioning/v1/node_key';
import { type NodeRequestReply, validate as validateRequest } from '#schemas/muster/provisioning/v1/node_request';
import { type NodeTokenReply, validate as validateToken } from '#schemas/muster/provisioning/v1/node_token';
import type { Host } from '../../core/sdk/typescript/index.ts';
import { TrustCheck } from '../wire/pki/chain.ts';
import type { CertificateRequest } from '../wire/pki/request.ts';
import type { ProvisionReply, ProvisionRequest } from '../wire/provisioning/reply.ts';
import { sameVersion } from '../wire/rpm-version.ts';
import { readVerificationKey, type VerificationKey } from '../wire/tokens/jwt.ts';
import { KeptTokens } from '../wire/tokens/kept.ts';
import type { ProvisioningClaims } from '../wire/tokens/provisioning.ts';
import { checkCertificate, checkConfiguration, checkNonce, checkRequest, fingerprint, readGiven } from './checks.ts';
import type { Settings } from './config.ts';
import { codeOf, ProvisionerError } from './errors.ts';
import { type Hook, sealedKey, serverToken } from './hook.ts';
import type { NodeRpc } from './node-rpc.ts';
import type { Node } from './nodes.ts';
import type { NodeRecord, Store } from './store.ts';

const agent = 'choria_provision';
/** The time for discovery and the one of the DDL, as Choria's client waits. */
const timeouts = { choria_provision: 22_000, rpcutil: 4_000 } as const;
const tries = { jwt: 3, gen25519: 5, inventory: 5, gencsr: 1, shutdown: 3, release_update: 3, configure: 5, restart: 3 } as const;
const longConfiguration = 2_048;

/** What a node showed before it is given anything. */
export interface Introduction {
  readonly claims: ProvisioningClaims | undefined;
  /** Hex; empty if it has none. */
  readonly ecdh: string;
  readonly inventory: NodeInventoryReply | undefined;
}

/** What it shows then. */
interface Shown {
  readonly key: NodeKeyReply | undefined;
  readonly inventory: NodeInventoryReply;
  readonly csr: NodeRequestReply | undefined;
  readonly request: CertificateRequest | undefined;
}

export type Outcome =
  /** It was configured and restarts. */
  { readonly did: 'restarted' } | { readonly did: 'shutdown' | 'upgraded' | 'deferred'; readonly why: string };

export interface EnrolmentParts {
  readonly host: Host;
  readonly settings: Settings;
  readonly rpc: NodeRpc;
  readonly hook: Hook;
  readonly store: () => Store;
  /** The epoch of this leader. @throws ProvisionerError `PROVISIONER_LOST` if it leads no more */
  readonly epoch: () => number;
  readonly onStep: (node: Node, step: Node['step']) => void;
}

export class Enrolment {
  readonly #parts: EnrolmentParts;
  #verifying: VerificationKey | undefined;
  readonly #tokens = new KeptTokens();
  readonly #trust = new TrustCheck();
  #toldLong = false;

  constructor(parts: EnrolmentParts) {
    this.#parts = parts;
  }

  /** The first step, which needs no trust: the node shows its token, or at least that it is there. */
  async introduce(node: Node, signal: AbortSignal): Promise<Introduction> {
    const { settings } = this.#parts;
    if (!settings.features.jwt) {
      const inventory = await this.#inventory(node, signal);
      this.#parts.onStep(node, 'token');
      return { claims: undefined, ecdh: '', inventory };
    }
    const reply = await this.#ask<NodeTokenReply>(node, 'jwt', {}, validateToken, signal);
    this.#verifying ??= readVerificationKey(settings.verifyKey ?? '');
    const key = this.#verifying;
    let claims: ProvisioningClaims;
    try {
      claims = await this.#tokens.verify(reply.jwt, () => key);
    } catch (error) {
      throw new ProvisionerError(
        'PROVISIONER_REFUSED',
        `the provisioning token of ${node.identity}: ${(error as Error).message}`,
        {
          cause: error,
        },
      );
    }
    this.#parts.onStep(node, 'token');
    return { claims, ecdh: reply.ecdh_public ?? '', inventory: undefined };
  }

  /** Everything else. @throws ProvisionerError, what the signal was aborted with */
  async enrol(node: Node, introduction: Introduction, signal: AbortSignal): Promise<Outcome> {
    const { hook } = this.#parts;
    await this.claim(node, 'token');
    const shown = await this.#gather(node, introduction, signal);
    await this.claim(node, 'csr', shown.csr ? { csr: fingerprint(shown.csr.csr) } : {});
    this.#parts.onStep(node, 'csr');
    const reply = await hook.provision(requestOf(node, introduction, shown), signal);
    if (reply.defer) return { did: 'deferred', why: reply.msg || 'the hook gave no reason' };
    if (reply.shutdown) return this.#shutdown(node, reply, signal);
    const serial = this.#checkGiven(node, shown, reply);
    const configuration = checkConfiguration(reply, node.identity, introduction.claims?.chpd !== false);
    this.#parts.onStep(node, 'signed');
    if (await this.#upgrade(node, shown.inventory, reply, signal)) return { did: 'upgraded', why: `to ${reply.upgrade}` };
    const input = await this.#inputOf(node, introduction, shown, reply, configuration);
    await this.claim(node, 'configuring', serial === undefined ? {} : { serial });
    await this.#ask(node, 'configure', input, isAnything, signal);
    node.orphan = undefined;
    this.#parts.onStep(node, 'configured');
    return this.restart(node, signal);
  }

  /** The key and request are asked for once in an attempt: each time would make new ones. */
  async #gather(node: Node, { inventory: known }: Introduction, signal: AbortSignal): Promise<Shown> {
    const { features, deny } = this.#parts.settings;
    const nonce = randomUUID().replaceAll('-', '');
    const key = features.ed25519 ? await this.#ask<NodeKeyReply>(node, 'gen25519', { nonce }, validateKey, signal) : undefined;
    if (key) checkNonce(node.identity, nonce, key);
    const inventory = known ?? (await this.#inventory(node, signal));
    const csr = features.pki
      ? await this.#ask<NodeRequestReply>(node, 'gencsr', { cn: node.identity }, validateRequest, signal)
      : undefined;
    return { key, inventory, csr, request: csr && checkRequest(csr.csr, node.identity, deny) };
  }

  /** The serial number of the certificate in an answer, if it is good. */
  #checkGiven(node: Node, { request }: Shown, reply: ProvisionReply): string | undefined {
    const { hook, settings } = this.#parts;
    const given = readGiven(reply);
    if (!given) return undefined;
    if (node.orphan !== undefined) void hook.revoke(node.identity, node.orphan);
    // Whatever comes to nothing from here on leaves a certificate that nobody has.
    node.orphan = given.x509.serialNumber;
    checkCertificate(given, reply, {
      identity: node.identity,
      deny: settings.deny,
      publicKey: reply.key ? hook.publicKeyOf(reply.key) : request?.publicKey,
      trust: this.#trust,
      now: Date.now(),
    });
    return node.orphan;
  }

  /** All ten, as Choria's provisioner sends them, and the epoch that is added to all requests. */
  async #inputOf(
    node: Node,
    { ecdh }: Introduction,
    { key, csr }: Shown,
    reply: ProvisionReply,
    configuration: Readonly<Record<string, string>>,
  ): Promise<object> {
    const { settings } = this.#parts;
    const token = key ? await serverToken(settings, { identity: node.identity, publicKey: key.public_key, reply }) : '';
    const config = JSON.stringify(configuration);
    this.#tellLong(config, token);
    return {
      config,
      certificate: reply.certificate ?? '',
      ca: reply.ca ?? '',
      ssldir: csr?.ssldir || reply.ssldir || '',
      ...(reply.key ? sealedKey(reply.key, ecdh) : { key: '', ecdh_public: '' }),
      action_policies: reply.action_policies ?? {},
      opa_policies: reply.opa_policies ?? {},
      server_jwt: token,
    };
  }

  /** The last step, and the first one of whoever takes over a node that may have been configured. */
  async restart(node: Node, signal: AbortSignal): Promise<Outcome> {
    await this.claim(node, 'configured');
    try {
      await this.#ask(node, 'restart', { splay: 1 }, isAnything, signal);
    } catch (error) {
      // It may have restarted before it could answer; where it comes up is looked at anyway.
      if (codeOf(error) !== 'PROVISIONER_SILENT' || this.#parts.settings.overlayUrls.length === 0) throw error;
    }
    // It had something to restart into, which is what it was given.
    node.orphan = undefined;
    await this.claim(node, 'restarted');
    this.#parts.onStep(node, 'restarted');
    return { did: 'restarted' };
  }

  /** Writes down where a node is, if nobody else did. @throws ProvisionerError `PROVISIONER_LOST` */
  claim(node: Node, step: NodeRecord['step'], more: Partial<NodeRecord> = {}): Promise<void> {
    const claimed = node.writing.then(() => this.#claim(node, step, more));
    node.writing = claimed.catch(() => undefined);
    return claimed;
  }

  async #claim(node: Node, step: NodeRecord['step'], more: Partial<NodeRecord>): Promise<void> {
    const { epoch, store } = this.#parts;
    const mine = epoch();
    const { identity, attempt, failures } = node;
    node.held ??= await store().get(identity);
    const before = node.held?.record;
    if (before && before.epoch > mine) throw lost(identity);
    const { csr, serial } = before ?? {};
    const kept =
      before?.attempt === attempt ? { ...(csr !== undefined && { csr }), ...(serial !== undefined && { serial }) } : {};
    const record: NodeRecord = { identity, epoch: mine, step, attempt, at: Date.now(), failures, ...kept, ...more };
    const revision = await store().write(record, node.held?.revision ?? 0);
    if (revision === null) {
      node.held = undefined;
      throw lost(identity);
    }
    node.held = { record, revision };
    epoch();
  }

  async #inventory(node: Node, signal: AbortSignal): Promise<NodeInventoryReply> {
    const { rpc, epoch } = this.#parts;
    const action = 'inventory';
    const data = await rpc.call({
      identity: node.identity,
      agent: 'rpcutil',
      action,
      data: {},
      tries: tries.inventory,
      timeoutMs: timeouts.rpcutil,
      signal,
      guard: () => void epoch(),
    });
    return checked<NodeInventoryReply>(node, action, data, validateInventory);
  }

  async #ask<T = unknown>(
    node: Node,
    action: Exclude<keyof typeof tries, 'inventory'>,
    input: object,
    validate: Validator<T>,
    signal: AbortSignal,
  ): Promise<T> {
    const { rpc, epoch, settings } = this.#parts;
    const data = { token: settings.token, ...input, epoch: epoch() };
    const guard = () => void epoch();
    const call = {
      identity: node.identity,
      agent,
      action,
      data,
      tries: tries[action],
      timeoutMs: timeouts[agent],
      signal,
      guard,
    };
    return checked(node, action, await rpc.call(call), validate);
  }

  async #shutdown(node: Node, { msg = '' }: ProvisionReply, signal: AbortSignal): Promise<Outcome> {
    await this.claim(node, 'configured');
    await this.#ask(node, 'shutdown', {}, isAnything, signal);
    return { did: 'shutdown', why: msg || 'the hook gave no reason' };
  }

  /** True if the node restarts with another version, and is to be enrolled then. */
  async #upgrade(node: Node, inventory: NodeInventoryReply, { upgrade }: ProvisionReply, signal: AbortSignal): Promise<boolean> {
    const { settings, host } = this.#parts;
    if (!settings.features.upgrades || !upgrade) return false;
    try {
      const { version = '', upgradable = false } = inventory;
      if (version === '') throw new ProvisionerError('PROVISIONER_NODE', `${node.identity} does not tell its version`);
      if (sameVersion(version, upgrade)) return false;
      if (!upgradable)
        throw new ProvisionerError('PROVISIONER_NODE', `${node.identity} does not allow upgrades; its token has to`);
      if (settings.upgradesRepository === undefined)
        throw new ProvisionerError('PROVISIONER_CONFIG', 'plugin.provisioner.upgrades_repository is not set');
      const input = { repository: settings.upgradesRepository, version: upgrade };
      await this.#ask(node, 'release_update', input, isAnything, signal);
      return true;
    } catch (error) {
      if (!settings.upgradesOptional || codeOf(error) === 'PROVISIONER_LOST' || signal.aborted) throw error;
      host.log.warn(`${node.identity} is enrolled without the upgrade to ${upgrade}: ${(error as Error).message}`);
      return false;
    }
  }

  #tellLong(config: string, token: string): void {
    if (this.#toldLong || Math.max(config.length, token.length) <= longConfiguration) return;
    this.#toldLong = true;
    this.#parts.host.log.info(
      `what nodes are configured with has more than the ${longConfiguration} characters of Choria's DDL; nodes take it`,
    );
  }
}

/** What the hook is told. */
function requestOf({ identity }: Node, { claims }: Introduction, { key, csr, inventory }: Shown): ProvisionRequest {
  return {
    identity,
    csr: csr ? { csr: csr.csr, public_key: csr.public_key ?? '', ssldir: csr.ssldir ?? '' } : null,
    ed25519_pubkey: key ? { ...key } : null,
    inventory: JSON.stringify(inventory),
    jwt: claims ? { ...claims } : null,
  };
}

interface Validator<T> {
  (data: unknown): data is T;
  errors?: readonly { instancePath: string; message?: string | undefined }[] | null;
}

/** Of some replies only the status counts. */
function isAnything(_data: unknown): _data is unknown {
  return true;
}

function checked<T>({ identity }: Node, action: string, data: unknown, validate: Validator<T>): T {
  if (validate(data)) return data;
  const [first] = validate.errors ?? [];
  const at = first?.instancePath.slice(1) || 'it';
  throw new ProvisionerError(
    'PROVISIONER_NODE',
    `${identity} answered ${action} with what does not fit: ${at} ${first?.message ?? ''}`,
  );
}

function lost(identity: string): ProvisionerError {
  return new ProvisionerError('PROVISIONER_LOST', `another provisioner works on ${identity}`);
}
