// Whether a certificate is revoked when that is asked for, and whether the world can see it.

import { existsSync, readFileSync } from 'node:fs';
import { readCertificate } from '../../wire/pki/certificate.ts';
import { revokedSerials } from '../../wire/pki/revocation-list.ts';
import { type Finding, failed, passed, skipped } from './rules.ts';
import type { Target } from './target.ts';

export async function checkRevocation(target: Target, certificate: string): Promise<Finding> {
  const serial = readCertificate(certificate).x509.serialNumber;
  try {
    const answer = await target.revoke({ serial, certificate, reason: 'superseded' });
    if (!answer) return skipped('revoke', 'the hook has no `hook/revoke`');
    if (!answer.revoked) return failed('revoke', `it says that it never gave out ${serial}`);
    const { crl } = answer;
    if (crl === undefined) return passed('revoke', `${serial}; no list was named that could be looked at`);
    if (!existsSync(crl)) return passed('revoke', `${serial}; see ${crl}`);
    return revokedSerials(readFileSync(crl)).includes(serial)
      ? passed('revoke', `${serial} is in ${crl}`)
      : failed('revoke', `${serial} is not in ${crl}`);
  } catch (error) {
    return failed('revoke', (error as Error).message);
  }
}
