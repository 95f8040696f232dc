// Why a request is not signed.

export type RefusalCode =
  | 'SIGNER_REQUEST'
  | 'SIGNER_TOKEN'
  | 'SIGNER_LIFETIME'
  | 'SIGNER_REVOKED'
  | 'SIGNER_SIGNATURE'
  | 'SIGNER_CALLER'
  | 'SIGNER_SHAPE'
  | 'SIGNER_TIME'
  | 'SIGNER_REPLAY'
  | 'SIGNER_DENIED'
  /** The authorizer failed, which is a denial. */
  | 'SIGNER_AUTHORIZER'
  | 'SIGNER_AUDIT'
  | 'SIGNER_KEY'
  | 'SIGNER_BUSY';

/** The message is for the log of the service, and holds no token, no key and no input of a request. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly code: RefusalCode;
  /** For whoever asked, where he is known to be who he says. */
  readonly told: string | undefined;

  constructor(code: RefusalCode, message: string, { told, cause }: { readonly told?: string; readonly cause?: unknown } = {}) {
    super(message, { cause });
    this.code = code;
    this.told = told;
  }
}

/** Faults of this service rather than of who asked: another instance may do better. */
export function isOurs(code: RefusalCode): boolean {
  return code === 'SIGNER_AUDIT' || code === 'SIGNER_KEY' || code === 'SIGNER_BUSY';
}
