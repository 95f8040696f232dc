// What the contract of the kind security hands to its plugins, whichever version of the protocol they speak.

import type { Filter } from './filter.ts';
import type { Federation } from './v1/messages.ts';

/** In place of a signature, where none is made. */
export const insecure = 'insecure';
/** The agent whose requests need none: what they hold proves itself. */
export const signerAgent = 'aaa_signer';

export interface ReplyToSeal {
  readonly id: string;
  readonly agent: string;
  readonly sender: string;
  readonly body: string;
  /** Hops of the request. */
  readonly seenBy?: readonly (readonly string[])[];
  readonly federation?: Federation;
  /** URL of the broker that it goes through. */
  readonly server?: string;
}

export interface RequestToSign {
  readonly id: string;
  readonly agent: string;
  readonly collective: string;
  /** Seconds. */
  readonly ttl: number;
  readonly filter: Filter;
  readonly body: string;
  readonly replyTo: string;
  readonly sender: string;
  readonly server?: string;
  readonly federation?: Federation;
  readonly traceparent?: string;
}

export interface OpenOptions {
  readonly from?: 'callers' | 'nodes';
  /** An agent whose requests need no signature. */
  readonly unsigned?: string;
}

export type Payloads = { readonly messages: readonly { readonly payload: Uint8Array }[] };
