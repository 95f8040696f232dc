// The signer with all that it works with, made of the configuration.

import { existsSync } from 'node:fs';
import type { Host } from '../../../core/sdk/typescript/index.ts';
import { type AaaService, goDuration, listOf } from '../../wire/aaa/settings.ts';
import type { Revocations } from '../../wire/tokens/revocations.ts';
import { Audit } from './audit.ts';
import { Countersigner } from './countersigner.ts';
import { SignerNumbers } from './numbers.ts';
import { Replays } from './replays.ts';
import { SecretInputs } from './secret-inputs.ts';
import { Signer } from './signer.ts';
import { UserTokens } from './tokens.ts';

const usualMaxTtlMs = 10 * 60_000;

export interface OpenSigner {
  readonly signer: Signer;
  /** Why it signs nothing now; undefined if it does. */
  trouble(): string | undefined;
  /** Takes up keys that were replaced. */
  renew(): void;
  tellNumbers(): Promise<void>;
}

interface Parts {
  readonly host: Host;
  readonly settings: AaaService;
  readonly libdirs: readonly string[];
  readonly revocations: Revocations;
}

/** What keeps it from signing, as far as that is not said of the settings. */
export async function problemsOfSigner(host: Host, { signer, basicjwt_signer }: AaaService): Promise<string[]> {
  if (signer === undefined) return [];
  const { signing_seed: seed, signing_token: token } = basicjwt_signer ?? {};
  const files = [seed, token].filter((file) => file !== undefined);
  const isHalf = files.length === 1 || !files.every((file) => existsSync(file));
  return isHalf ? [] : countersignerOf(host, seed, token).problems();
}

function countersignerOf(host: Host, seed: string | undefined, token: string | undefined): Countersigner {
  const delegator = seed === undefined || token === undefined ? undefined : { seed, token };
  return new Countersigner(host, { certificate: delegator === undefined, delegator });
}

/** Of settings that were checked. @throws TokenError for a key that can't be used */
export async function openSigner({ host, settings, libdirs, revocations }: Parts): Promise<OpenSigner> {
  const { basicjwt_signer: section, authorizer = '', site = 'default', max_ttl, signer: name = '' } = settings;
  const auditors = listOf(settings.auditors);
  const numbers = new SignerNumbers();
  const secrets = new SecretInputs(host, libdirs);
  await secrets.refresh();
  await host.plugins.watch('agent', () => secrets.refresh());
  const tokens = new UserTokens(listOf(section?.signing_certificate), goDuration(section?.max_validity ?? '') ?? 0);
  const countersigner = countersignerOf(host, section?.signing_seed, section?.signing_token);
  const audit = new Audit({ host, auditors, site, secrets, numbers });
  const signer = new Signer({
    host,
    tokens,
    revocations,
    replays: new Replays(),
    countersigner,
    audit,
    numbers,
    authorizer,
    site,
    bearer: section?.allow_bearer_tokens === true,
    maxTtlSeconds: ((max_ttl === undefined ? undefined : goDuration(max_ttl)) ?? usualMaxTtlMs) / 1000,
  });
  let told = '';
  return {
    signer,
    trouble: () => (audit.isFailing ? 'no auditor can record what is decided' : undefined),
    renew: () => {
      try {
        tokens.renewKeys();
        told = '';
      } catch (error) {
        const { message } = error as Error;
        if (message !== told) host.log.warn(`the keys of tokens can not be taken up, those before stay: ${message}`);
        told = message;
      }
    },
    tellNumbers: () => numbers.tell(host, { site, signer: name, authorizer, auditors, running: signer.running }),
  };
}
