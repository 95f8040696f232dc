// What a client is asked that makes no sense.

/** What the configuration of this client does not allow, or a value that can not be. */
export class ClientError extends Error {
  override readonly name = 'ClientError';
  readonly code: 'UNKNOWN_COLLECTIVE' | 'FEDERATION' | 'OPTIONS';

  constructor(code: ClientError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

/** @throws ClientError `OPTIONS` for a time in which nothing could answer */
export function checkWait(what: string, ms: number | undefined): void {
  if (ms === undefined || ms > 0) return;
  throw new ClientError('OPTIONS', `${what} can not be given ${ms / 1000} s; give it more than 0`);
}
