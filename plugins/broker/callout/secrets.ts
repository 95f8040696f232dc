// What nats-server and the callout know each other by: made once, so that a reload of the bundle changes nothing.

import { type KeyObject, randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { keyFromSeed } from '../../wire/tokens/ed25519.ts';
import { writeWhole } from '../../wire/whole-file.ts';

export interface CalloutSecrets {
  readonly issuer: KeyObject;
  readonly password: string;
}

const secretBytes = 32;

export function calloutSecrets(folder: string): CalloutSecrets {
  const read = (name: string) => {
    const file = join(folder, name);
    if (!existsSync(file)) writeWhole(file, randomBytes(secretBytes).toString('hex'), 0o600);
    return readFileSync(file, 'utf8').trim();
  };
  return { issuer: keyFromSeed(read('callout.seed')), password: read('callout.password') };
}
