// What can be wrong with the files that logins go by.

export type AaaCode = 'AAA_SETTINGS' | 'AAA_USERS' | 'AAA_SECOND_FACTOR';

/** The message names the file, and the key or entry; it holds no secret. */
export class AaaError extends Error {
  override readonly name = 'AaaError';
  readonly code: AaaCode;

  constructor(code: AaaCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options);
    this.code = code;
  }
}
