// Whose word ends tokens: whoever may issue them. The keys are those of the service's JSON file, or named by a command.

import { type AaaService, listOf, readAaaSettings } from '../wire/aaa/settings.ts';
import type { TrustAnchors } from '../wire/tokens/anchors.ts';
import type { Issuer } from '../wire/tokens/chain.ts';
import { publicFromHex } from '../wire/tokens/ed25519.ts';
import { ed25519Verification, readVerificationKey, type VerificationKey } from '../wire/tokens/jwt.ts';
import { SigningKeys } from './login/keys.ts';
import { readLoginSettings } from './login/settings.ts';

export interface Revokers {
  /** What revocations can be signed by here, none twice. */
  readonly issuers: readonly Issuer[];
  readonly trust: TrustAnchors;
}

export interface IssuingFiles {
  readonly keys: readonly string[];
  /** Where an organization vouches for the key. */
  readonly token: string | undefined;
}

/** @throws AaaSettingsError, AaaError, TokenError naming the file */
export function revokersOf(file: string, settings: AaaService = readAaaSettings(file)): Promise<Revokers> {
  const { authenticator, basicjwt_signer, max_session } = settings;
  const { issuing } = readLoginSettings(file, listOf(authenticator), max_session);
  return readRevokers([...issuing.values()], listOf(basicjwt_signer?.signing_certificate));
}

/** @param verifying files or keys that tokens of others are verified with. @throws TokenError */
export async function readRevokers(issuing: readonly IssuingFiles[], verifying: readonly string[]): Promise<Revokers> {
  const signers: VerificationKey[] = verifying.map(readVerificationKey);
  const issuers = new Map<string, Issuer>();
  for (const { keys, token } of issuing) {
    const own = new SigningKeys(keys, token);
    const issuer = await own.issuer();
    const { chain } = issuer;
    const scope = chain?.public_key ?? '';
    if (!issuers.has(scope)) issuers.set(scope, issuer);
    if (chain) signers.push(ed25519Verification(publicFromHex(chain.iss.slice(2))));
    else
      for (const key of own.publicKeys())
        signers.push(key.asymmetricKeyType === 'rsa' ? { algorithms: ['RS256'], key } : ed25519Verification(key));
  }
  return { issuers: [...issuers.values()], trust: { signers } };
}
