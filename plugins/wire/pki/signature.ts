// Which signature a key makes, and what the identifiers of signatures mean.

import type { KeyObject } from 'node:crypto';
import * as der from './der.ts';
import { PkiError } from './errors.ts';

export interface SignatureAlgorithm {
  /** As node:crypto wants it; null where the key says it all. */
  readonly digest: string | null;
  readonly node: () => der.Node;
}

const digests: Readonly<Record<string, string | null>> = {
  '1.2.840.113549.1.1.11': 'sha256',
  '1.2.840.113549.1.1.12': 'sha384',
  '1.2.840.113549.1.1.13': 'sha512',
  '1.2.840.10045.4.3.2': 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
  '1.3.101.112': null,
};

/** @throws PkiError `PKI_SIGNATURE` for one that is unknown or, as those with SHA-1, too weak */
export function digestOf(oid: string): string | null {
  const digest = digests[oid];
  if (digest === undefined) throw new PkiError('PKI_SIGNATURE', `signatures of the type ${oid} are not accepted`);
  return digest;
}

/** @throws PkiError `PKI_KEY` for keys that make no signatures */
export function signatureAlgorithm(key: KeyObject): SignatureAlgorithm {
  switch (key.asymmetricKeyType) {
    case 'rsa':
      return { digest: 'sha256', node: () => der.sequence(der.oid('1.2.840.113549.1.1.11'), der.nothing()) };
    case 'ec':
      return { digest: 'sha256', node: () => der.sequence(der.oid('1.2.840.10045.4.3.2')) };
    case 'ed25519':
      return { digest: null, node: () => der.sequence(der.oid('1.3.101.112')) };
    default:
      throw new PkiError('PKI_KEY', `keys of the type ${key.asymmetricKeyType} make no signatures`);
  }
}
