// What an evaluator and its thread say to each other.

import type { Evaluated } from './evaluator.ts';

/** The part of a request's filter that the functions of a policy look at. */
export interface RequestFilter {
  readonly fact: readonly { readonly fact: string; readonly operator: string; readonly value: string }[];
  readonly cf_class: readonly string[];
  readonly identity: readonly string[];
  readonly compound: readonly unknown[];
}

export interface Asked {
  readonly key: string;
  readonly module: WebAssembly.Module;
  readonly input: string;
  readonly filter: RequestFilter;
}

export interface ToWorker {
  readonly asked: readonly Asked[];
}

export type FromWorker = { readonly what: 'ready' } | { readonly what: 'answers'; readonly outcomes: readonly Evaluated[] };
