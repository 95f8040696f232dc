// Signatures over requests of others, by the security plugins: protocol 1 by the privileged certificate of the configuration,
// protocol 2 by the delegator's seed.

import type { Host } from '../../../core/sdk/typescript/index.ts';
import { Refusal } from './refusal.ts';

export interface Delegator {
  readonly seed: string;
  readonly token: string;
}

export interface CountersignerSpec {
  /** Of requests of protocol 1; undefined where there is none. */
  readonly certificate: boolean;
  readonly delegator: Delegator | undefined;
}

const signMs = 10_000;

export class Countersigner {
  readonly #host: Host;
  readonly #spec: CountersignerSpec;

  constructor(host: Host, spec: CountersignerSpec) {
    this.#host = host;
    this.#spec = spec;
  }

  /** What is wrong with its keys. */
  async problems(): Promise<string[]> {
    const versions = [...(this.#spec.certificate ? [1] : []), ...(this.#spec.delegator ? [2] : [])];
    const problems = versions.map((version) =>
      this.#ask(version, []).then(
        () => [],
        (error: Error) => [`the signer can not sign protocol ${version}: ${error.message}`],
      ),
    );
    return (await Promise.all(problems)).flat();
  }

  /** @throws Refusal `SIGNER_KEY` */
  async sign(text: string, version: 1 | 2): Promise<string> {
    const isReady = version === 1 ? this.#spec.certificate : this.#spec.delegator !== undefined;
    if (!isReady)
      throw new Refusal(
        'SIGNER_REQUEST',
        `requests of protocol ${version} are not signed here, since there is ${version === 1 ? 'no privileged certificate' : 'no signing_seed'}`,
      );
    try {
      const [secure] = await this.#ask(version, [text]);
      if (secure !== undefined) return secure;
      throw new Error('it signed nothing');
    } catch (error) {
      throw new Refusal('SIGNER_KEY', `it could not be signed: ${(error as Error).message}`, { cause: error });
    }
  }

  async #ask(version: number, requests: readonly string[]): Promise<readonly string[]> {
    const { delegator } = this.#spec;
    const params = { requests, ...(version === 2 && delegator && { delegator }) };
    const { secure } = (await this.#host.plugins.call(
      'security',
      version === 1 ? 'x509' : 'jwt',
      'security/countersign',
      params,
      {
        deadlineMs: signMs,
      },
    )) as { secure: string[] };
    return secure;
  }
}
