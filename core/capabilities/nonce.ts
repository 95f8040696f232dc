// A token, and the signature over what the broker sends when a connection begins: proof that whoever shows the token holds
// the key that it is for.

import { createPrivateKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { Auth, Authenticator } from 'nats';
import { PluginError } from '../protocol/errors.ts';

/** PKCS#8 around the 32 bytes of an ed25519 seed. */
const prefix = Buffer.from('302e020100300506032b657004220420', 'hex');

/**
 * Signs with the ed25519 seed in a file (64 hex digits), which is read for each connection: it may have been replaced. A
 * broker that sends no nonce asks for no token, and one that has users would refuse whoever shows one.
 * @throws PluginError `UNAVAILABLE` naming the file
 */
export function tokenWithProof(token: string, seedFile: string): Authenticator {
  return (nonce): Auth => {
    if (nonce === undefined) return undefined;
    const seed = Buffer.from(readSeed(seedFile), 'hex');
    const key = createPrivateKey({ key: Buffer.concat([prefix, seed]), format: 'der', type: 'pkcs8' });
    const sig = sign(null, Buffer.from(nonce), key).toString('base64url');
    return { auth_token: token, jwt: token, nkey: '', sig };
  };
}

function readSeed(file: string): string {
  let text: string;
  try {
    text = readFileSync(file, 'utf8').trim();
  } catch (error) {
    throw new PluginError('UNAVAILABLE', `the seed ${file} can not be read: ${(error as Error).message}`, { cause: error });
  }
  if (/^[0-9a-f]{64}$/.test(text)) return text;
  throw new PluginError('UNAVAILABLE', `the seed ${file} does not hold 64 hex digits`);
}
