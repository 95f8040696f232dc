// Logins by certificate: its key signs, from a file, or on a token that never gives it away.

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Host } from '../../../core/sdk/typescript/index.ts';
import { certificateText, signWithCertificate } from '../../wire/aaa/certificate-proof.ts';
import { publicHex } from '../../wire/tokens/ed25519.ts';
import { LoginError } from './errors.ts';
import { Pkcs11Token } from './pkcs11.ts';

export interface CertificateOptions {
  readonly user?: string | undefined;
  readonly certificate?: string | undefined;
  readonly key?: string | undefined;
  readonly pkcs11Module?: string | undefined;
  readonly slot?: string | undefined;
  readonly keyId?: string | undefined;
}

/** Certificate in PEM, and what signs with its key. */
export interface Signer {
  readonly certificate: string;
  sign(text: string): Promise<string>;
}

/** @returns what the service takes as the credential, and when it was made. @throws LoginError */
export async function certificateCredential(
  host: Host,
  options: CertificateOptions,
  { key, username }: { readonly key: KeyObject; readonly username: string },
): Promise<{ credential: string; timestamp: string }> {
  const { pkcs11Module: module, slot, keyId } = options;
  const signer = module === undefined ? fromFiles(options) : await Pkcs11Token.open(host, { module, slot, keyId });
  // When the PIN is typed, however long that took.
  const timestamp = String(Math.floor(Date.now() / 1_000));
  const signature = await signer.sign(certificateText(timestamp, username, publicHex(key)));
  return { credential: JSON.stringify({ certificate: signer.certificate, signature }), timestamp };
}

function fromFiles({ certificate: certificateFile, key: keyFile }: CertificateOptions): Signer {
  if (!certificateFile || !keyFile)
    throw new LoginError('LOGIN_CREDENTIAL', 'a login by certificate needs --certificate and --key, or --pkcs11-module');
  const certificate = read(certificateFile);
  try {
    const key = createPrivateKey(read(keyFile));
    if (!new X509Certificate(certificate).checkPrivateKey(key))
      throw new LoginError('LOGIN_CREDENTIAL', `the key ${keyFile} does not belong to the certificate ${certificateFile}`);
    return { certificate, sign: async (text) => signWithCertificate(text, key) };
  } catch (error) {
    if (error instanceof LoginError) throw error;
    throw new LoginError('LOGIN_CREDENTIAL', `${certificateFile} or ${keyFile} can not be used: ${(error as Error).message}`);
  }
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new LoginError('LOGIN_CREDENTIAL', `a file for the login can not be read: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
