// How a certificate was signed.

import * as der from '../../wire/pki/der.ts';
import { digestOf } from '../../wire/pki/signature.ts';
import { type Finding, failed, passed } from './rules.ts';

/** As `digestOf` does not know them, since nobody should use them any more. */
const weak: Readonly<Record<string, string>> = {
  '1.2.840.113549.1.1.4': 'MD5',
  '1.2.840.113549.1.1.5': 'SHA-1',
  '1.2.840.10045.4.1': 'SHA-1',
};

export function inspectSignature(certificate: string): Finding {
  const [, algorithm] = der.partsOf(der.decode(der.fromPem(certificate, 'CERTIFICATE')));
  const oid = der.oidOf(der.partsOf(algorithm)[0]);
  const digest = weak[oid];
  if (digest !== undefined) return failed('signature', `it is signed with ${digest}`);
  try {
    return passed('signature', digestOf(oid) ?? 'ed25519');
  } catch {
    return passed('signature', `of the type ${oid}`);
  }
}
