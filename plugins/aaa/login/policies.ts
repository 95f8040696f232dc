// The policy of whoever logs in is compiled now, so that signers find it made.

import { createHash } from 'node:crypto';
import type { Host } from '../../../core/sdk/typescript/index.ts';

const compiler = 'opa';
const deadlineMs = 5_000;
const mostKept = 1_000;

export class Policies {
  readonly #host: Host;
  readonly #prepared = new Set<string>();

  constructor(host: Host) {
    this.#host = host;
  }

  /** A policy that can not be compiled keeps nobody from logging in: his requests are denied. */
  async prepare(policy: string, callerid: string): Promise<void> {
    const key = createHash('sha256').update(policy).digest('base64');
    if (this.#prepared.has(key)) return;
    try {
      const compilers = await this.#host.plugins.list('policy-compiler');
      if (!compilers.some(({ name }) => name === compiler)) return;
      const params = { policy, use: 'token' };
      const result = await this.#host.plugins.call('policy-compiler', compiler, 'policy/prepare', params, { deadlineMs });
      const { ok, reason = '' } = result as { readonly ok: boolean; readonly reason?: string };
      if (!ok) this.#host.log.warn(`the policy of ${callerid} can not be compiled, so that his requests are denied: ${reason}`);
      if (this.#prepared.size >= mostKept) this.#prepared.clear();
      this.#prepared.add(key);
    } catch (error) {
      this.#host.log.warn(`the policy of ${callerid} was not compiled: ${(error as Error).message}`);
    }
  }
}
