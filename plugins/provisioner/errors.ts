// Why a node was not enrolled, and what is wrong with the configuration of a provisioner.

export type ProvisionerCode =
  | 'PROVISIONER_CONFIG'
  /** The node, or what it sent, must not be enrolled. */
  | 'PROVISIONER_REFUSED'
  /** The node did not answer in time. */
  | 'PROVISIONER_SILENT'
  /** The node answered that it could not, or with what can't be read. */
  | 'PROVISIONER_NODE'
  /** The hook failed, or what it gave is of no use. */
  | 'PROVISIONER_HOOK'
  /** Another provisioner leads now, or this one can not be sure that it does. */
  | 'PROVISIONER_LOST'
  /** The node made room for others that wait. */
  | 'PROVISIONER_CROWDED';

/** The message says what is wrong in one line, and holds no secret. */
export class ProvisionerError extends Error {
  override readonly name = 'ProvisionerError';
  readonly code: ProvisionerCode;

  constructor(code: ProvisionerCode, message: string, options: { readonly cause?: unknown } = {}) {
    super(message, options);
    this.code = code;
  }
}

export function codeOf(error: unknown): ProvisionerCode | undefined {
  return error instanceof ProvisionerError ? error.code : undefined;
}
