// What can be wrong with a certificate, or with a request for one.

export type PkiCode = 'PKI_PEM' | 'PKI_DER' | 'PKI_SIGNATURE' | 'PKI_KEY' | 'PKI_NAME';

/** The message says what is wrong in one line. */
export class PkiError extends Error {
  override readonly name = 'PkiError';
  readonly code: PkiCode;

  constructor(code: PkiCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options);
    this.code = code;
  }
}
