// The hook that decides about nodes, and what is made of its answers.

import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { newTransitKeys, sealPrivateKey, sharedSecret } from '../wire/provisioning/key-transit.ts';
import { checkHookReply, type ProvisionReply, type ProvisionRequest } from '../wire/provisioning/reply.ts';
import { chainIssuer, type Issuer } from '../wire/tokens/chain.ts';
import { readSigningKey } from '../wire/tokens/jwt.ts';
import { makeServerToken } from '../wire/tokens/server.ts';
import type { Settings } from './config.ts';
import { ProvisionerError } from './errors.ts';

const kind = 'provisioning-hook';
/** What helpers of Choria have. */
const hookMs = 10_000;
const revokeMs = 30_000;

export interface HookNumbers {
  calls: number;
  errors: number;
  shutdowns: number;
  ms: number;
}

export class Hook {
  readonly name: string;
  readonly numbers: HookNumbers = { calls: 0, errors: 0, shutdowns: 0, ms: 0 };
  readonly #host: Host;
  #revokes = true;

  constructor(host: Host, name: string) {
    this.#host = host;
    this.name = name;
  }

  /** @throws ProvisionerError `PROVISIONER_HOOK`, or the signal's reason */
  async provision(request: ProvisionRequest, signal: AbortSignal): Promise<ProvisionReply> {
    const begun = performance.now();
    this.numbers.calls += 1;
    try {
      const answer = await this.#host.plugins.call(
        kind,
        this.name,
        'hook/provision',
        { ...request },
        { signal, deadlineMs: hookMs },
      );
      const reply = checkHookReply(answer);
      if (reply.shutdown && !reply.defer) this.numbers.shutdowns += 1;
      return reply;
    } catch (error) {
      signal.throwIfAborted();
      this.numbers.errors += 1;
      const message = `the hook ${this.name} gave nothing: ${(error as Error).message}`;
      throw new ProvisionerError('PROVISIONER_HOOK', message, { cause: error });
    } finally {
      this.numbers.ms += performance.now() - begun;
    }
  }

  /** The public half of a key that the authority made. @throws ProvisionerError `PROVISIONER_HOOK` */
  publicKeyOf(pem: string): KeyObject {
    try {
      return createPublicKey(createPrivateKey(pem));
    } catch (error) {
      throw new ProvisionerError('PROVISIONER_HOOK', 'the private key in its answer can not be read; it is to be PEM', {
        cause: error,
      });
    }
  }

  /** Withdraws a certificate that its node never got, as far as the hook can. */
  async revoke(identity: string, serial: string): Promise<void> {
    if (!this.#revokes) return;
    const params = { serial, reason: 'superseded' };
    try {
      const { revoked } = (await this.#host.plugins.call(kind, this.name, 'hook/revoke', params, { deadlineMs: revokeMs })) as {
        revoked: boolean;
      };
      if (revoked) this.#host.log.info(`the certificate ${serial}, which ${identity} did not get, is revoked`);
    } catch (error) {
      if (error instanceof PluginError && ['UNKNOWN_METHOD', 'CONTRACT'].includes(error.code)) {
        this.#revokes = false;
        this.#host.log.debug(`the hook ${this.name} has no hook/revoke; certificates that are not delivered stay valid`);
      } else
        this.#host.log.warn(
          `the certificate ${serial}, which ${identity} did not get, is not revoked: ${(error as Error).message}`,
        );
    }
  }
}

/** A private key that only the node can read. @throws ProvisionerError `PROVISIONER_HOOK` */
export function sealedKey(key: string, ecdh: string): { key: string; ecdh_public: string } {
  if (ecdh === '')
    throw new ProvisionerError(
      'PROVISIONER_HOOK',
      'its answer has a private key, and the node showed no ECDH key to send it with; plugin.provisioner.features.jwt has it show one',
    );
  try {
    const own = newTransitKeys();
    return { key: sealPrivateKey(key, sharedSecret(own, ecdh)), ecdh_public: own.publicHex };
  } catch (error) {
    throw new ProvisionerError('PROVISIONER_HOOK', `the private key can not be sent: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

interface TokenRequest {
  readonly identity: string;
  readonly publicKey: string;
  readonly reply: ProvisionReply;
}

/** The token of a node. The files are read each time, so that they may be replaced. @throws ProvisionerError `PROVISIONER_CONFIG` */
export async function serverToken(settings: Settings, { identity, publicKey, reply }: TokenRequest): Promise<string> {
  const claims = reply.server_claims ?? {};
  try {
    const issuer = await issuerOf(settings);
    return await makeServerToken(
      {
        identity,
        publicKey,
        collectives: claims.collectives ?? collectivesOf(reply.configuration ?? {}),
        validitySeconds: Math.floor(settings.serverValidityMs / 1000),
        ...(claims.ou !== undefined && { ou: claims.ou }),
        ...(claims.permissions && { permissions: claims.permissions }),
        ...(claims.pub_subjects && { pubSubjects: claims.pub_subjects }),
        ...(claims.exp !== undefined && { expires: claims.exp }),
      },
      issuer,
    );
  } catch (error) {
    throw new ProvisionerError('PROVISIONER_CONFIG', `the token of ${identity} can not be made: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

async function issuerOf({ signingKey = '', signingToken }: Settings): Promise<Issuer> {
  const key = readSigningKey(signingKey);
  return signingToken === undefined ? { key } : chainIssuer(key, readFileSync(signingToken, 'utf8').trim());
}

/** As Choria's provisioner has it, but without the spaces that people write after commas. */
function collectivesOf(configuration: Readonly<Record<string, string>>): string[] {
  const { collectives } = configuration;
  if (collectives !== undefined)
    return collectives
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '');
  return [configuration['plugin.security.provider'] === 'choria' ? 'choria' : 'mcollective'];
}
