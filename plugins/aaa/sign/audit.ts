// Records of decisions, in the official format, to every auditor. A decision counts as recorded when one of them has it.

import type { Host } from '../../../core/sdk/typescript/index.ts';
import type { SignerNumbers } from './numbers.ts';
import { Refusal } from './refusal.ts';
import type { InnerRequest } from './request.ts';
import type { SecretInputs } from './secret-inputs.ts';

const recordMs = 5_000;
const repeatMs = 10_000;
/** So long others get the requests after a failure. */
const failingMs = 10_000;

export interface Decision {
  /** As the request names him, or as his token does once that is known. */
  readonly caller: string;
  readonly action: 'allow' | 'deny';
  readonly inner: InnerRequest;
  /** The request as it was read, with that caller. */
  readonly request: object;
}

export interface AuditParts {
  readonly host: Host;
  readonly auditors: readonly string[];
  readonly site: string;
  readonly secrets: SecretInputs;
  readonly numbers: SignerNumbers;
}

export class Audit {
  readonly #parts: AuditParts;
  /** When it was last told that an auditor fails. */
  readonly #told = new Map<string, number>();

  #failedAt = Number.NEGATIVE_INFINITY;

  constructor(parts: AuditParts) {
    this.#parts = parts;
  }

  /** Whether nobody could record what was decided just now; it is to be tried again after a while, so this passes. */
  get isFailing(): boolean {
    return performance.now() - this.#failedAt < failingMs;
  }

  /** Resolves when it is recorded. @throws Refusal `SIGNER_AUDIT` if nobody could */
  async record({ caller, action, inner, request }: Decision): Promise<void> {
    const { auditors, site, secrets } = this.#parts;
    if (auditors.length === 0) return;
    const record = {
      protocol: 'io.choria.signer.v1.signature_audit',
      callerid: caller,
      action,
      site,
      time: Math.floor(Date.now() / 1000),
      request: secrets.masked(inner, request),
    };
    const outcomes = await Promise.all(auditors.map((auditor) => this.#write(auditor, record)));
    if (outcomes.includes(true)) {
      this.#failedAt = Number.NEGATIVE_INFINITY;
      return;
    }
    this.#failedAt = performance.now();
    throw new Refusal('SIGNER_AUDIT', `no auditor (${auditors.join(', ')}) could record the decision, so that nothing is signed`);
  }

  async #write(auditor: string, record: object): Promise<boolean> {
    try {
      const options = { deadlineMs: recordMs };
      const params = { records: [record] };
      const { written } = (await this.#parts.host.plugins.call('auditor', auditor, 'auditor/record', params, options)) as {
        written: number;
      };
      if (written > 0) return true;
      throw new Error('it wrote nothing');
    } catch (error) {
      this.#failed(auditor, (error as Error).message);
      return false;
    }
  }

  #failed(auditor: string, message: string): void {
    this.#parts.numbers.auditorFailed(auditor);
    if (Date.now() - (this.#told.get(auditor) ?? 0) < repeatMs) return;
    this.#told.set(auditor, Date.now());
    this.#parts.host.log.error(`the auditor ${auditor} could not record a decision: ${message}`);
  }
}
