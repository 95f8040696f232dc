// What can be wrong with a token, or with a key for tokens.

export type TokenCode =
  | 'TOKEN_FORMAT'
  | 'TOKEN_CLAIMS'
  | 'TOKEN_SIGNATURE'
  | 'TOKEN_EXPIRED'
  | 'TOKEN_NOT_YET'
  | 'TOKEN_CHAIN'
  | 'TOKEN_KEY';

/** The message says what is wrong in one line, and holds no part of the token. */
export class TokenError extends Error {
  override readonly name = 'TokenError';
  readonly code: TokenCode;

  constructor(code: TokenCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options);
    this.code = code;
  }
}
