// Why somebody is not logged in.

export type LoginCode = 'LOGIN_CONFIG' | 'LOGIN_UNREACHABLE' | 'LOGIN_REFUSED' | 'LOGIN_ANSWER' | 'LOGIN_CREDENTIAL';

/** The message holds nothing that is secret. */
export class LoginError extends Error {
  override readonly name = 'LoginError';
  readonly code: LoginCode;

  constructor(code: LoginCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options);
    this.code = code;
  }
}
