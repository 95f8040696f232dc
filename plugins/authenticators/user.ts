// What an authenticator answers.

/** Who logged in, and what he gets. */
export interface LoggedIn {
  readonly callerid: string;
  readonly ou?: string;
  readonly tenant?: string;
  readonly agents?: readonly string[];
  readonly opaPolicy?: string;
  readonly properties?: Readonly<Record<string, string>>;
  readonly permissions?: Readonly<Record<string, boolean>>;
  readonly validitySeconds?: number;
  /** He must have a second factor. */
  readonly secondFactor?: boolean;
}

export type Outcome = { readonly ok: true; readonly user: LoggedIn } | { readonly ok: false; readonly reason: string };

export function loggedIn(user: LoggedIn): Outcome {
  return { ok: true, user };
}

/** @param reason for the log */
export function refused(reason: string): Outcome {
  return { ok: false, reason };
}
