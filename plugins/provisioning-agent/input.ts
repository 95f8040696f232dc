// What provisioners send, read as Choria's agent reads it: keys in any case, unknown ones passed over, null and an empty text
// the same as nothing. Only types are insisted on.

import { ActionError } from '../../core/sdk/typescript/index.ts';
import { statusCodes } from '../wire/rpc.ts';

export class Input {
  readonly #values: ReadonlyMap<string, unknown>;

  constructor(data: unknown) {
    if (typeof data !== 'object' || data === null || Array.isArray(data)) throw invalid('the input is not an object');
    this.#values = new Map(Object.entries(data).map(([key, value]) => [key.toLowerCase(), value]));
  }

  /** Empty if it is not there. @throws ActionError 4 */
  text(key: string): string {
    const value = this.#values.get(key.toLowerCase()) ?? '';
    if (typeof value !== 'string') throw invalid(`input '${key}' is not a string`);
    return value;
  }

  /** @throws ActionError 4 */
  whole(key: string): number | undefined {
    const value = this.#values.get(key.toLowerCase()) ?? undefined;
    if (value === undefined) return undefined;
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw invalid(`input '${key}' is not an integer`);
    return value;
  }

  /** @throws ActionError 4 */
  texts(key: string): Readonly<Record<string, string>> {
    const value = this.#values.get(key.toLowerCase()) ?? {};
    if (!isTexts(value)) throw invalid(`input '${key}' is not a hash of strings`);
    return value;
  }

  /** @throws ActionError 4 */
  list(key: string): readonly string[] {
    const value = this.#values.get(key.toLowerCase()) ?? [];
    if (!Array.isArray(value) || !value.every((item) => typeof item === 'string'))
      throw invalid(`input '${key}' is not an array of strings`);
    return value as string[];
  }
}

export function isTexts(value: unknown): value is Readonly<Record<string, string>> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    Object.values(value).every((item) => typeof item === 'string')
  );
}

export function invalid(message: string): ActionError {
  return new ActionError(message, { status: statusCodes.invalidData });
}
