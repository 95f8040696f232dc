// What can be wrong with a message.

export type WireCode =
  | 'WIRE_TOO_LARGE'
  | 'WIRE_NOT_JSON'
  | 'WIRE_VERSION'
  | 'WIRE_SCHEMA'
  | 'WIRE_ENCODING'
  | 'WIRE_HASH'
  | 'WIRE_UNSIGNED'
  | 'WIRE_CALLER'
  | 'WIRE_CERTIFICATE'
  | 'WIRE_SIGNATURE'
  | 'WIRE_BODY';

const maxLength = 400;

/** A message that can't be read or must not be trusted. The message says what is wrong in one line. */
export class WireError extends Error {
  override readonly name = 'WireError';
  readonly code: WireCode;

  constructor(code: WireCode, message: string) {
    // Whoever sent it chose a part of this, and logs are not to grow by it.
    super(message.slice(0, maxLength));
    this.code = code;
  }
}
