// What authorizers are asked and what they answer, as their contract says.

import type { NodeRequest } from '../wire/rego/input.ts';

export interface AuthorizeRequest extends NodeRequest {
  readonly filter?: unknown;
}

export interface AuthorizeDecision {
  readonly allowed: boolean;
  readonly reason: string;
  readonly explanation?: readonly string[];
}

/** Nothing that an authorizer does wrong opens anything. */
export async function decideAll(
  requests: readonly AuthorizeRequest[],
  decide: (request: AuthorizeRequest) => AuthorizeDecision | Promise<AuthorizeDecision>,
): Promise<{ decisions: AuthorizeDecision[] }> {
  const one = async (request: AuthorizeRequest): Promise<AuthorizeDecision> => {
    try {
      return await decide(request);
    } catch (error) {
      return { allowed: false, reason: `the decision could not be made: ${(error as Error).message}` };
    }
  };
  return { decisions: await Promise.all(requests.map(one)) };
}
