// The filter of a request, as the functions of policies look at it. What is not as it should be does not count.

import type { RequestFilter } from './worker-messages.ts';

export function requestFilter(filter: unknown): RequestFilter {
  const { fact, cf_class, identity, compound } = (typeof filter === 'object' && filter !== null ? filter : {}) as Record<
    string,
    unknown
  >;
  return {
    fact: (Array.isArray(fact) ? fact : [])
      .filter(isFact)
      .map(({ fact: name, operator, value }) => ({ fact: name, operator, value })),
    cf_class: texts(cf_class),
    identity: texts(identity),
    compound: Array.isArray(compound) ? compound.map(() => null) : [],
  };
}

function isFact(value: unknown): value is RequestFilter['fact'][number] {
  const { fact, operator, value: wanted } = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  return typeof fact === 'string' && typeof operator === 'string' && typeof wanted === 'string';
}

function texts(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
}
