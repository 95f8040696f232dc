// The functions that look at the filter of the request: what the caller has to narrow it down to.

import { parseFactString } from '../../fact-string.ts';
import type { RequestFilter } from '../worker-messages.ts';
import { type Builtin, text, Undefined } from './values.ts';

/** @param filter of the request that is evaluated now */
export function filterBuiltins(filter: () => RequestFilter): Record<string, Builtin> {
  return {
    requires_filter: () => {
      const { fact, cf_class, identity, compound } = filter();
      return fact.length + cf_class.length + identity.length + compound.length > 0;
    },
    requires_class_filter: (wanted) => filter().cf_class.includes(text(wanted)),
    requires_identity_filter: (wanted) => filter().identity.includes(text(wanted)),
    requires_fact_filter: (wanted) => {
      const parsed = parseFactString(text(wanted));
      if (!parsed) throw new Undefined('no fact filter');
      return filter().fact.some(
        ({ fact, operator, value }) => fact === parsed.fact && operator === parsed.operator && value === parsed.value,
      );
    },
  };
}
