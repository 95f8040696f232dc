// Numbers of the signer, under the names of Choria's service. What clients choose is bounded.

import type { Host } from '../../../core/sdk/typescript/index.ts';

const mostActions = 500;
/** An agent and an action, or an agent whose requests no policy is about. */
const name = /^[A-Za-z0-9_-]{1,64}(\.[A-Za-z0-9_-]{0,64})?$/;

interface Decisions {
  allowed: number;
  denied: number;
}

export class SignerNumbers {
  allowed = 0;
  denied = 0;
  invalidTokens = 0;
  authorizerErrors = 0;
  /** Signatures that were made and could not be recorded. */
  unaudited = 0;
  readonly auditorErrors = new Map<string, number>();
  readonly #decisions = new Map<string, Decisions>();

  decided(action: string, allowed: boolean): void {
    const label = this.#decisions.has(action) || (this.#decisions.size < mostActions && name.test(action)) ? action : 'other';
    const decisions = this.#decisions.get(label) ?? { allowed: 0, denied: 0 };
    decisions[allowed ? 'allowed' : 'denied'] += 1;
    this.#decisions.set(label, decisions);
  }

  auditorFailed(auditor: string): void {
    this.auditorErrors.set(auditor, (this.auditorErrors.get(auditor) ?? 0) + 1);
  }

  async tell({ metrics, control }: Host, about: NumbersAbout): Promise<void> {
    const { site, signer, authorizer, auditors, running } = about;
    const count = (part: string, value: number, labels: Readonly<Record<string, string>>, help: string) =>
      metrics.set(`choria_aaa_${part}`, value, { site, ...labels }, { type: 'counter', help });
    await count('signer_allowed', this.allowed, { signer }, 'Requests that were signed');
    await count('signer_denied', this.denied, { signer }, 'Requests that were refused');
    await count('signer_errors', this.denied, { signer }, 'Requests that were refused, whatever the reason');
    await count('signer_invalid_token', this.invalidTokens, { signer }, 'Tokens that are not good, or good for too long');
    await count('authorizer_errors', this.authorizerErrors, { authorizer }, 'Times that the authorizer could not decide');
    for (const auditor of auditors)
      await count('auditor_errors', this.auditorErrors.get(auditor) ?? 0, { auditor }, 'Records that could not be written');
    for (const [action, { allowed, denied }] of this.#decisions) {
      await count('authorizer_allowed', allowed, { authorizer, action }, 'Requests that the authorizer allowed');
      await count('authorizer_denied', denied, { authorizer, action }, 'Requests that the authorizer denied');
    }
    const { version } = await control.info();
    await count('build_info', 1, { version }, 'The version that runs');
    await metrics.set('muster_aaa_signer_running', running, { site }, { type: 'gauge', help: 'Requests that are being signed' });
  }
}

export interface NumbersAbout {
  readonly site: string;
  readonly signer: string;
  readonly authorizer: string;
  readonly auditors: readonly string[];
  readonly running: number;
}
