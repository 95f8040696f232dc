// The authorizer `opa`: the policy in the caller's token.

import { definePlugin, type Host } from '../../core/sdk/typescript/index.ts';
import { tokenInput } from '../wire/rego/input.ts';
import { PreparedPolicies } from '../wire/rego/prepared.ts';
import { requestFilter } from '../wire/rego/request-filter.ts';
import { type AuthorizeDecision, type AuthorizeRequest, decideAll } from './requests.ts';

export default definePlugin({
  kind: 'authorizer',
  version: '1.0.0',
  create: (host: Host) => {
    const policies = new PreparedPolicies(host, 'token', 'the policy in the token');
    return {
      methods: {
        'authorizer/authorize': ({ requests }: { requests: readonly AuthorizeRequest[] }) =>
          decideAll(requests, (request) => byTokenPolicy(policies, request)),
      },
      shutdown: () => policies.close(),
    };
  },
});

export async function byTokenPolicy(policies: PreparedPolicies, request: AuthorizeRequest): Promise<AuthorizeDecision> {
  const { agent, claims, filter } = request;
  if (agent === 'discovery') return { allowed: true, reason: 'discovery is always allowed' };
  const policy = claims?.opa_policy;
  if (typeof policy !== 'string' || policy === '')
    return { allowed: false, reason: 'the token has no policy (claim opa_policy)', explanation: ['Your token has no policy.'] };
  const { allowed, reason, explanation } = await policies.decide(policy, tokenInput(request), requestFilter(filter));
  return { allowed, reason, ...(explanation && { explanation }) };
}
