// Why a provisioning hook gives no certificate.

export type HookCode = 'HOOK_REFUSED' | 'HOOK_CONFIG' | 'HOOK_AUTHORITY' | 'HOOK_REPLY';

/**
 * `HOOK_REFUSED` stays so however often it is asked; `HOOK_CONFIG` until somebody changes the configuration; `HOOK_AUTHORITY` is
 * trouble of the certificate authority, and `HOOK_REPLY` an answer that can't be read.
 */
export class HookError extends Error {
  override readonly name = 'HookError';
  readonly code: HookCode;

  constructor(code: HookCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options);
    this.code = code;
  }
}
