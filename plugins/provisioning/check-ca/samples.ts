// Requests as nodes make them, and as nodes must not.

import { generateKeyPair, type KeyObject, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import type { Subject } from '../../wire/pki/names.ts';
import { makeRequest } from '../../wire/pki/request.ts';
import type { ProvisionRequest } from '../../wire/provisioning/reply.ts';

export type KeyKind = 'rsa1024' | 'rsa2048' | 'rsa4096' | 'ecdsa' | 'ed25519';

export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

export interface Sample {
  readonly identity: string;
  readonly keys: KeyPair;
  readonly request: ProvisionRequest;
}

export interface SamplePlan {
  readonly identity: string;
  readonly keys: KeyPair;
  /** Beside the common name. */
  readonly subject?: Subject;
  readonly names?: readonly string[];
  /** Spoils the request. */
  readonly alter?: (csr: string) => string;
}

const generate = promisify(generateKeyPair);

export function makeKeys(kind: KeyKind): Promise<KeyPair> {
  switch (kind) {
    case 'ecdsa':
      return generate('ec', { namedCurve: 'P-256' });
    case 'ed25519':
      return generate('ed25519');
    default:
      return generate('rsa', { modulusLength: Number(kind.slice('rsa'.length)) });
  }
}

/** Names that nobody else has, so that a check may be made again and again. */
export function sampleNames(domain: string): (what: string) => string {
  const run = randomBytes(4).toString('hex');
  return (what) => `muster-check-${what}-${run}.${domain}`;
}

export function makeSample({ identity, keys, subject = {}, names = [], alter = (csr) => csr }: SamplePlan): Sample {
  const csr = alter(makeRequest({ subject: { CN: identity, ...subject }, names, ...keys }));
  return { identity, keys, request: requestOf(identity, csr, keys) };
}

function requestOf(identity: string, csr: string, { publicKey }: KeyPair): ProvisionRequest {
  const inventory = { agents: ['choria_provision', 'rpcutil'], facts: { os: 'linux' }, version: '0.29.4', upgradable: false };
  return {
    identity,
    csr: { csr, public_key: publicKey.export({ type: 'spki', format: 'pem' }) as string, ssldir: '/etc/choria/ssl' },
    ed25519_pubkey: null,
    inventory: JSON.stringify(inventory),
    jwt: {
      cht: 'muster-check',
      chs: false,
      chu: 'nats://broker.example.net:4222',
      chpd: true,
      extensions: null,
      ou: 'choria',
      purpose: 'choria_provisioning',
      sub: 'choria_provisioning',
    },
  };
}
