// Provisioning tokens that were verified: a fleet shares few of them, so what was found is kept for as long as it holds.

import type { VerificationKey } from './jwt.ts';
import { type ProvisioningClaims, verifyProvisioningToken } from './provisioning.ts';

const maxKept = 1_000;

export class KeptTokens {
  readonly #good = new Map<string, ProvisioningClaims>();

  /** @param keyFor the key is asked for only if the token is not known. @throws TokenError */
  async verify(
    text: string,
    keyFor: () => VerificationKey | Promise<VerificationKey>,
    now = new Date(),
  ): Promise<ProvisioningClaims> {
    const token = text.trim();
    const known = this.#good.get(token);
    if (known && (known.exp ?? Number.POSITIVE_INFINITY) * 1000 > now.getTime()) return known;
    this.#good.delete(token);
    const claims = await verifyProvisioningToken(token, await keyFor(), now);
    if (this.#good.size >= maxKept) this.#good.clear();
    this.#good.set(token, claims);
    return claims;
  }
}
