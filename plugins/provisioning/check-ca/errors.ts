// Why a check could not be made at all.

export class CheckError extends Error {
  override readonly name = 'CheckError';
  readonly code = 'CHECK_CA';
}
