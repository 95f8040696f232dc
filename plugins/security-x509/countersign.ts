// Signatures in the name of others: with a certificate that nodes take for any caller.

import { type KeyObject, sign } from 'node:crypto';
import { statSync } from 'node:fs';
import { promisify } from 'node:util';
import { PluginError } from '../../core/sdk/typescript/index.ts';
import { Lane, signaturesAtOnce } from '../wire/lane.ts';
import { secureRequestText } from '../wire/v1/messages.ts';
import { compilePatterns, namesOf } from './certificates.ts';
import { locate, readCredentials, type SecurityConfig } from './identity.ts';

/** How often it is looked whether the files were replaced. */
const lookMs = 1_000;
// In the thread pool: an RSA signature takes as long as all else of a request together.
const signs = promisify<string, Uint8Array, KeyObject, Buffer>(sign);

interface Privileged {
  readonly key: KeyObject;
  readonly pem: string;
  readonly ends: number;
  readonly filesAt: string;
}

export class Countersigner {
  readonly #config: SecurityConfig;
  readonly #environment: NodeJS.ProcessEnv;
  #privileged: Privileged | undefined;
  #lookedAt = 0;
  readonly #lane: Lane;

  constructor(config: SecurityConfig, environment: NodeJS.ProcessEnv) {
    this.#config = config;
    this.#environment = environment;
    this.#lane = new Lane(signaturesAtOnce(environment));
  }

  /** Secure requests for these texts, in order. @throws PluginError for a certificate that nodes would not take */
  async sign(requests: readonly string[]): Promise<string[]> {
    const { key, pem, ends } = this.#current(Date.now());
    if (ends <= Date.now()) throw new PluginError('UNAVAILABLE', 'the privileged certificate has expired; replace it');
    return Promise.all(
      requests.map(async (text) => {
        const signature = await this.#lane.run(() => signs('sha256', Buffer.from(text), key));
        return secureRequestText(text, signature.toString('base64'), pem);
      }),
    );
  }

  #current(now: number): Privileged {
    if (this.#privileged && now - this.#lookedAt < lookMs) return this.#privileged;
    this.#lookedAt = now;
    const credentials = locate(this.#config, 'server', this.#environment);
    const filesAt = [credentials.cert, credentials.key].map(ageOf).join();
    if (this.#privileged?.filesAt === filesAt) return this.#privileged;
    try {
      this.#privileged = { ...this.#read(), filesAt };
    } catch (error) {
      // Both files are not replaced at once.
      if (!this.#privileged) throw error;
    }
    return this.#privileged;
  }

  #read(): Omit<Privileged, 'filesAt'> {
    const credentials = locate(this.#config, 'server', this.#environment);
    const { certificate, pem, privateKey } = readCredentials(credentials);
    if (privateKey.asymmetricKeyType !== 'rsa')
      throw new PluginError('UNAVAILABLE', `the key ${credentials.key} is not RSA, which protocol v1 needs`);
    const sources = this.#config['plugin.choria.security.privileged_users'] ?? [];
    const patterns = compilePatterns(sources);
    const { commonName, dnsNames } = namesOf(certificate);
    if (![commonName, ...dnsNames].some((name) => patterns.some((pattern) => pattern.test(name))))
      throw new PluginError(
        'UNAVAILABLE',
        `the certificate ${credentials.cert} of ${commonName} may not sign for others; it needs a name that fits plugin.choria.security.privileged_users (${sources.join(', ')}), such as signer.privileged.mcollective`,
      );
    return { key: privateKey, pem, ends: Date.parse(certificate.validTo) };
  }
}

function ageOf(file: string): string {
  const stat = statSync(file, { throwIfNoEntry: false });
  return stat ? `${stat.mtimeMs}:${stat.size}:${stat.ino}` : 'none';
}
