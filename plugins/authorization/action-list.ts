// The authorizer `actionlist`: the list of actions in the caller's token.

import { definePlugin } from '../../core/sdk/typescript/index.ts';
import { decideByList, explainList } from '../wire/action-list.ts';
import { type AuthorizeDecision, type AuthorizeRequest, decideAll } from './requests.ts';

export default definePlugin({
  kind: 'authorizer',
  version: '1.0.0',
  methods: {
    'authorizer/authorize': ({ requests }: { requests: readonly AuthorizeRequest[] }) => decideAll(requests, byList),
  },
});

/** Claims come from a token whose shape was checked; what is no list of words allows nothing. */
export function byList({ agent, action, claims }: AuthorizeRequest): AuthorizeDecision {
  if (agent === 'discovery') return { allowed: true, reason: 'discovery is always allowed' };
  const { agents } = claims ?? {};
  const list = Array.isArray(agents) ? agents.filter((entry) => typeof entry === 'string') : undefined;
  const verdict = decideByList(list, agent, action);
  return { allowed: verdict.allowed, reason: verdict.reason, explanation: explainList(list, agent, verdict) };
}
