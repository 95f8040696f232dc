// The authorizer `aaasvc`, also called `aaasvc_policy`: whatever the caller's token has, a list of actions or a policy.

import { definePlugin, type Host } from '../../core/sdk/typescript/index.ts';
import { PreparedPolicies } from '../wire/rego/prepared.ts';
import { byList } from './action-list.ts';
import { type AuthorizeDecision, type AuthorizeRequest, decideAll } from './requests.ts';
import { byTokenPolicy } from './token-policy.ts';

export default definePlugin({
  kind: 'authorizer',
  version: '1.0.0',
  create: (host: Host) => {
    const policies = new PreparedPolicies(host, 'token', 'the policy in the token');
    return {
      methods: {
        'authorizer/authorize': ({ requests }: { requests: readonly AuthorizeRequest[] }) =>
          decideAll(requests, (request) => byToken(policies, request)),
      },
      shutdown: () => policies.close(),
    };
  },
});

function byToken(policies: PreparedPolicies, request: AuthorizeRequest): AuthorizeDecision | Promise<AuthorizeDecision> {
  const { agent, claims, data = {} } = request;
  if (agent === 'discovery') return { allowed: true, reason: 'discovery is always allowed' };
  if (!claims)
    return denied('the request has no token of its caller, as only protocol 2 brings one', 'Your request has no token.');
  const hasList = Array.isArray(claims.agents) && claims.agents.length > 0;
  const hasPolicy = typeof claims.opa_policy === 'string' && claims.opa_policy !== '';
  if (hasList && hasPolicy)
    return denied(
      'the token has both a list of actions and a policy; which of them counts is not said',
      'Your token has both a list of actions and a policy; it must have one of them.',
    );
  if (hasList) return byList(request);
  if (hasPolicy) return byTokenPolicy(policies, { ...request, data });
  return denied('the token has neither a list of actions nor a policy', 'Your token allows no action at all.');
}

function denied(reason: string, explanation: string): AuthorizeDecision {
  return { allowed: false, reason, explanation: [explanation] };
}
