// What is counted: policies that can't be compiled are not requests that were denied.

import type { Host } from '../../core/sdk/typescript/index.ts';
import type { Compiled } from './opa.ts';
import type { PolicyRecord } from './record.ts';

export class Numbers {
  readonly #host: Host;
  readonly #counts = { compiled: 0, refused: 0, failures: 0, file: 0, store: 0 };

  constructor(host: Host) {
    this.#host = host;
  }

  compiled({ ok }: Compiled): void {
    this.#counts[ok ? 'compiled' : 'refused'] += 1;
  }

  /** The compiler itself did not do its work. */
  failed(): void {
    this.#counts.failures += 1;
  }

  found(where: 'file' | 'store', record: PolicyRecord): PolicyRecord {
    this.#counts[where] += 1;
    return record;
  }

  async start(): Promise<void> {
    await this.#host.metrics.onCollect(async () => {
      const { compiled, refused, failures, file, store } = this.#counts;
      const count = (name: string, value: number, labels: Record<string, string>, help: string) =>
        this.#host.metrics.set(name, value, labels, { type: 'counter', help });
      await count('muster_policies_compiled', compiled, {}, 'Policies that were compiled');
      await count('muster_policy_compile_errors', refused, { cause: 'policy' }, 'Policies that could not be compiled');
      await count('muster_policy_compile_errors', failures, { cause: 'compiler' }, 'Policies that could not be compiled');
      await count('muster_policies_found', file, { in: 'file' }, 'Compiled policies that were found');
      await count('muster_policies_found', store, { in: 'store' }, 'Compiled policies that were found');
    });
  }
}
