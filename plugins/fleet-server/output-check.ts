// Whether agents answer what their DDLs promise. Types in DDLs are hints that others live without, so a reply is never
// refused; the log tells the author once.

import type { Host } from '../../core/sdk/typescript/index.ts';
import type { ActionItem } from '../wire/ddl.ts';
import { typeProblem } from '../wire/ddl-input.ts';

const maxTold = 1_000;

export class OutputCheck {
  readonly #host: Host;
  readonly #told = new Set<string>();

  constructor(host: Host) {
    this.#host = host;
  }

  look(agent: string, { action, output }: ActionItem, data: unknown): void {
    if (typeof data !== 'object' || data === null || Array.isArray(data)) return;
    for (const [name, value] of Object.entries(data)) {
      const declared = Object.hasOwn(output, name) ? output[name] : undefined;
      if (!declared) this.#tell(`${agent}#${action} answers '${name}', which its DDL does not declare`);
      else if (declared.type && declared.type !== 'list' && value !== null) {
        const problem = typeProblem(value, { type: declared.type });
        if (problem !== undefined) this.#tell(`${agent}#${action} answers '${name}', which ${problem} as its DDL says it is`);
      }
    }
  }

  #tell(sentence: string): void {
    if (this.#told.has(sentence) || this.#told.size >= maxTold) return;
    this.#told.add(sentence);
    this.#host.log.warn(`${sentence}; correct one of them`);
  }
}
