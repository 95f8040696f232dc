// Emulated nodes that begin without certificates: each is started in provisioning mode, and again with what it was given there.

import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Host, StopRequest } from '../../core/sdk/typescript/index.ts';
import { provisioningEntries } from '../wire/provisioning/mode.ts';
import { type ProvisioningClaims, readProvisioningToken } from '../wire/tokens/provisioning.ts';

export interface EmulatedNode {
  readonly id: string;
  readonly folder: string;
  readonly services: readonly string[];
  readonly bundles: readonly string[];
  readonly stateFolder: string;
  /** What nodes have of the configuration of the command, unless they enrol themselves. */
  readonly shared: Readonly<Record<string, unknown>>;
  /** What is this node's own. */
  readonly config: Readonly<Record<string, unknown>>;
}

export class Enrolments {
  readonly #host: Host;
  readonly #tokenFile: string;
  readonly #claims: ProvisioningClaims;
  readonly #keyFile: string;

  private constructor(host: Host, tokenFile: string, claims: ProvisioningClaims, keyFile: string) {
    this.#host = host;
    this.#tokenFile = tokenFile;
    this.#claims = claims;
    this.#keyFile = keyFile;
  }

  /** @throws TokenError for a token that is none */
  static async open(host: Host, tokenFile: string): Promise<Enrolments> {
    const claims = await readProvisioningToken(readFileSync(tokenFile, 'utf8'));
    // All nodes have the same: making thousands of RSA keys would take longer than all else, and is not what is looked at.
    const keyFile = join(host.stateFolder ?? '.', 'prepared.key');
    if (!existsSync(keyFile)) {
      const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
      writeFileSync(keyFile, privateKey.export({ type: 'pkcs1', format: 'pem' }), { mode: 0o600 });
    }
    return new Enrolments(host, tokenFile, claims, keyFile);
  }

  /** Starts a node that knows its name and has a token, and nothing else. */
  async start(node: EmulatedNode): Promise<void> {
    const { id, folder, config, services, bundles, stateFolder } = node;
    const configFile = join(folder, 'server.conf');
    for (const left of [configFile, join(folder, 'ssl')]) rmSync(left, { recursive: true, force: true });
    const kept = ['identity', 'plugin.yaml', 'classesfile', 'plugin.choria.network.connect_timeout'];
    const own = Object.fromEntries(kept.map((key) => [key, config[key]]));
    await this.#host.control.startHost(
      {
        id,
        configFile,
        services,
        bundles,
        stateFolder,
        config: {
          ...provisioningEntries({ claims: this.#claims, tokenFile: this.#tokenFile, configFile }),
          ...own,
          'plugin.muster.provisioning.prepared_key': this.#keyFile,
          'plugin.muster.provisioning.restart_delay': 0,
        },
      },
      (request) => this.#ended(node, request),
    );
  }

  async #ended({ id, folder, config, services, bundles, stateFolder }: EmulatedNode, { restart, reason }: StopRequest) {
    await this.#host.control.stopHost(id);
    if (!restart) {
      this.#host.log.warn(`${id} stops: ${reason}`);
      return;
    }
    const given = readSettings(join(folder, 'server.conf'));
    await this.#host.control.startHost({ id, config: { ...given, ...config }, services, bundles, stateFolder });
  }
}

/** What the provisioner gave the node. What is the node's own is put over it, and not beside it as a second line of a file would be. */
function readSettings(file: string): Record<string, string> {
  const lines = readFileSync(file, 'utf8').split('\n');
  return Object.fromEntries(
    lines
      .filter((line) => line.includes('=') && !line.startsWith('#'))
      .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
  );
}
