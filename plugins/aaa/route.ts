// A call of the HTTP interface: what the listener hands to logins and to the signer, and what they answer.

export interface Call {
  /** The JSON of the body, checked against the route's schema; undefined where there is none. */
  readonly body: unknown;
  /** IP address of the client. */
  readonly address: string;
  /** Aborted when the client goes away or the service stops. */
  readonly signal: AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

export interface Route {
  readonly method: 'GET' | 'POST';
  /** Such as `/choria/v1/login`. */
  readonly path: string;
  /** Of its answers, for people; all others are JSON. A body of it is a text. */
  readonly type?: 'text/html';
  /** Whether a body that was read fits; the listener answers 400 to one that does not. */
  readonly accepts?: (body: unknown) => boolean;
  /** Undefined for a body that does not fit either. */
  readonly handle: (call: Call) => Promise<Answer | undefined>;
}
