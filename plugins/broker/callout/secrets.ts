// What nats-server and the callout know each other by: made once, so that a reload of the bundle changes nothing.

import { type KeyObject, randomBytes } from 'node:crypto';
import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { keyFromSeed } from '../../wire/tokens/ed25519.ts';

export interface CalloutSecrets {
  readonly issuer: KeyObject;
  readonly password: string;
}

const secretBytes = 32;

export function calloutSecrets(folder: string): CalloutSecrets {
  const read = (name: string) => {
    const file = join(folder, name);
    if (!existsSync(file)) writeWhole(file, randomBytes(secretBytes).toString('hex'));
    return readFileSync(file, 'utf8').trim();
  };
  return { issuer: keyFromSeed(read('callout.seed')), password: read('callout.password') };
}

function writeWhole(file: string, text: string): void {
  const temporary = `${file}.new`;
  const descriptor = openSync(temporary, 'w', 0o600);
  try {
    writeSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(temporary, file);
}
