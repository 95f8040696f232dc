// What clients are told. Whatever the reason, a refusal is the same text with the same status.

import type { Answer } from '../route.ts';

export const failedText = 'Login failed';

export function granted(token: string): Answer {
  return { status: 200, body: { token } };
}

export function failed(): Answer {
  return { status: 200, body: { error: failedText } };
}

/** The user was right, and the service has trouble with its keys. */
export function notSigned(): Answer {
  return { status: 200, body: { error: 'Could not sign JWT token' } };
}

export function notConfigured(): Answer {
  return { status: 501, body: 'No authenticator configured' };
}
