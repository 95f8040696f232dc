// What every capability is made of: its methods, the refusal of what was not granted, and what a pattern of subjects grants.

import type { Caller } from '../host/plugin.ts';
import { PluginError } from '../protocol/errors.ts';
import type { IncomingCall } from '../protocol/peer.ts';

/** One capability: its methods by name, and its end. */
export interface Capability {
  readonly methods: Readonly<Record<string, (params: never, caller: Caller, call: IncomingCall) => unknown>>;
  close?(): Promise<void> | void;
}

/** The refusal of what `needs:` lacks, with the line to add. */
export function notGranted(caller: Caller, what: string, need: string, value = 'true'): PluginError {
  return new PluginError('NOT_GRANTED', `${caller.name} ${what}; bundle.yaml would need \`needs: {${need}: ${value}}\``);
}

/** Whether a subject lies within a pattern with `*` for one token and a last `>` for all that follow. */
export function subjectMatches(pattern: string, subject: string): boolean {
  if (pattern === '>' || pattern === subject) return true;
  const wanted = pattern.split('.');
  const tokens = subject.split('.');
  for (const [index, token] of wanted.entries()) {
    if (token === '>' && index === wanted.length - 1) return tokens.length > index;
    const actual = tokens[index];
    if (actual === undefined) return false;
    // A wildcard that is asked for lies within a pattern only if the pattern has at least that wildcard there.
    if (token === '*' ? actual === '>' : token !== actual) return false;
  }
  return wanted.length === tokens.length;
}
