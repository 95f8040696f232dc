// The authority that signs for nodes: an intermediate below that of the overlay, laid out as the hook `built-in-ca` wants its folder.

import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { makeCertificate, randomSerial } from '../wire/pki/certificate.ts';
import { type Authority, issuerOf } from './ca.ts';

const days = 3_600;
const dayMs = 86_400_000;
const backdateMs = 3_600_000;

/** Makes it unless it is there. */
export function provideNodeAuthority(root: Authority, folder: string): void {
  if (existsSync(join(folder, 'intermediate.pem'))) return;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = makeCertificate(
    {
      serial: randomSerial(),
      subject: { CN: 'Muster overlay node CA' },
      publicKey,
      notBefore: new Date(Date.now() - backdateMs),
      notAfter: new Date(Date.now() + days * dayMs),
      usages: ['keyCertSign', 'cRLSign'],
      authority: { pathLength: 0 },
    },
    issuerOf(root),
  );
  const secret = { mode: 0o600 };
  writeFileSync(join(folder, 'root.pem'), root.certificate);
  writeFileSync(join(folder, 'root.key'), root.key.export({ type: 'pkcs8', format: 'pem' }), secret);
  writeFileSync(join(folder, 'intermediate.key'), privateKey.export({ type: 'pkcs8', format: 'pem' }), secret);
  // Written last: the folder counts as complete with it.
  writeFileSync(join(folder, 'intermediate.pem'), pem);
}
