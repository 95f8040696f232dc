// A private key on its way to a node, for authorities that insist on making it: X25519, and PEM encryption by RFC 1423.
// Source: go-choria's ECDH, whose shared secret is the passphrase.

import { createPrivateKey, createPublicKey, diffieHellman, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { HookError } from './errors.ts';

const publicPrefix = Buffer.from('302a300506032b656e032100', 'hex');

export interface TransitKeys {
  readonly privateKey: KeyObject;
  /** 64 hex digits. */
  readonly publicHex: string;
}

export function newTransitKeys(): TransitKeys {
  return transitKeysOf(generateKeyPairSync('x25519').privateKey);
}

export function transitKeysOf(privateKey: KeyObject): TransitKeys {
  const { x = '' } = createPublicKey(privateKey).export({ format: 'jwk' });
  return { privateKey, publicHex: Buffer.from(x, 'base64url').toString('hex') };
}

/** 32 bytes that both sides find. @throws HookError `HOOK_REPLY` if the other's key is none */
export function sharedSecret({ privateKey }: TransitKeys, othersHex: string): Buffer {
  if (!/^[0-9a-fA-F]{64}$/.test(othersHex)) throw new HookError('HOOK_REPLY', 'an ECDH public key has 64 hex digits');
  const publicKey = createPublicKey({
    key: Buffer.concat([publicPrefix, Buffer.from(othersHex, 'hex')]),
    format: 'der',
    type: 'spki',
  });
  try {
    return diffieHellman({ privateKey, publicKey });
  } catch (error) {
    // Points of low order give no secret.
    throw new HookError('HOOK_REPLY', 'the ECDH public key is none that a secret can be agreed with', { cause: error });
  }
}

/** The provisioner's side: an RSA key, PEM, that only the node can read. @throws HookError `HOOK_REPLY` */
export function sealPrivateKey(pem: string, secret: Buffer): string {
  const key = readKey(() => createPrivateKey(pem));
  return key.export({ type: 'pkcs1', format: 'pem', cipher: 'aes-256-cbc', passphrase: secret }).toString();
}

/** The node's side. A key that was sent in the clear is refused. @throws HookError `HOOK_REPLY` */
export function openPrivateKey(sealed: string, secret: Buffer): KeyObject {
  if (!sealed.includes('ENCRYPTED')) throw new HookError('HOOK_REPLY', 'the private key came unencrypted');
  return readKey(() => createPrivateKey({ key: sealed, passphrase: secret }));
}

function readKey(read: () => KeyObject): KeyObject {
  let key: KeyObject;
  try {
    key = read();
  } catch (error) {
    throw new HookError('HOOK_REPLY', 'the private key can not be read; it is to be RSA, in PEM', { cause: error });
  }
  if (key.asymmetricKeyType !== 'rsa') throw new HookError('HOOK_REPLY', 'the private key is none of RSA');
  return key;
}
