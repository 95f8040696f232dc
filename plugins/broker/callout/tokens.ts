// Whether a provisioning token was signed by somebody who may.

import { publicFromHex } from '../../wire/tokens/ed25519.ts';
import { TokenError } from '../../wire/tokens/errors.ts';
import { ed25519Verification, readVerificationKey, type VerificationKey } from '../../wire/tokens/jwt.ts';
import { KeptTokens } from '../../wire/tokens/kept.ts';
import { readProvisioningToken } from '../../wire/tokens/provisioning.ts';

type Config = Readonly<Record<string, unknown>>;

export interface TrustedKeys {
  /** Verifies tokens that no issuer stands for. */
  readonly signer: VerificationKey | undefined;
  /** Keys of issuers by the organization that they speak for. */
  readonly issuers: ReadonlyMap<string, VerificationKey>;
}

const signerKey = 'plugin.choria.network.provisioning.signer_cert';

/** @returns undefined if nobody is trusted. @throws TokenError for a key that can't be read */
export function readTrustedKeys(config: Config): TrustedKeys | undefined {
  const signer = config[signerKey];
  const issuers = new Map(
    names(config['plugin.security.issuer.names']).map((name) => {
      const hex = config[`plugin.security.issuer.${name}.public`];
      if (typeof hex !== 'string')
        throw new TokenError('TOKEN_KEY', `the issuer ${name} has no key; set plugin.security.issuer.${name}.public`);
      return [name, ed25519Verification(publicFromHex(hex))] as const;
    }),
  );
  if (!signer && issuers.size === 0) return undefined;
  return { signer: typeof signer === 'string' && signer !== '' ? readVerificationKey(signer) : undefined, issuers };
}

export class TokenCheck {
  readonly #keys: TrustedKeys;
  readonly #kept = new KeptTokens();

  constructor(keys: TrustedKeys) {
    this.#keys = keys;
  }

  /** @returns when it expires, in seconds since 1970. @throws TokenError that says what is wrong with it */
  async check(text: string, now = new Date()): Promise<number> {
    const { exp = Number.POSITIVE_INFINITY } = await this.#kept.verify(text, () => this.#keyFor(text.trim()), now);
    return exp;
  }

  /** As Choria's broker chooses: issuers sign with EdDSA, and where there are issuers nobody else does. */
  async #keyFor(token: string): Promise<VerificationKey> {
    const { signer, issuers } = this.#keys;
    const { ou = '' } = await readProvisioningToken(token);
    const byIssuer = issuers.size > 0 && algorithmOf(token) === 'EdDSA';
    const key = byIssuer ? issuers.get(ou) : signer;
    if (key) return key;
    const whom = byIssuer ? `for ${JSON.stringify(ou).slice(0, 80)}` : `besides issuers; set ${signerKey}`;
    throw new TokenError('TOKEN_SIGNATURE', `nobody is trusted to sign the token ${whom}`);
  }
}

function algorithmOf(token: string): unknown {
  try {
    return (JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString()) as { alg?: unknown } | null)?.alg;
  } catch {
    return undefined;
  }
}

function names(value: unknown): string[] {
  const list = Array.isArray(value) ? value.map(String) : String(value ?? '').split(',');
  return list.map((name) => name.trim()).filter((name) => name !== '');
}
