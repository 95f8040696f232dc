// What came of reading messages, counted under Choria's names.

import type { Host } from '../../core/sdk/typescript/index.ts';
import type { WireCode } from './errors.ts';

type Count = 'valid' | 'invalid' | 'error' | 'json_parse_failures';

const meaning: Readonly<Record<Count, string>> = {
  valid: 'Messages whose signature or hash is right',
  invalid: 'Messages whose signature, hash or shape is wrong',
  error: 'Messages that could not be read, or come from somebody who is not known',
  json_parse_failures: 'Messages that are no JSON',
};

export class Tally {
  readonly #version: string;
  readonly #counts: Record<Count, number> = { valid: 0, invalid: 0, error: 0, json_parse_failures: 0 };

  /** @param version of the protocol */
  constructor(version: 1 | 2) {
    this.#version = String(version);
  }

  /** @param code what was wrong, if anything was */
  add(code?: WireCode): void {
    for (const count of countsOf(code)) this.#counts[count] += 1;
  }

  async tell({ metrics }: Host): Promise<void> {
    for (const [name, value] of Object.entries(this.#counts))
      await metrics.set(
        `choria_protocol_${name}`,
        value,
        { version: this.#version },
        { type: 'counter', help: meaning[name as Count] },
      );
  }
}

function countsOf(code: WireCode | undefined): readonly Count[] {
  switch (code) {
    case undefined:
      return ['valid'];
    case 'WIRE_NOT_JSON':
      return ['json_parse_failures', 'error'];
    case 'WIRE_SCHEMA':
      return ['invalid', 'error'];
    case 'WIRE_SIGNATURE':
    case 'WIRE_HASH':
      return ['invalid'];
    default:
      return ['error'];
  }
}
