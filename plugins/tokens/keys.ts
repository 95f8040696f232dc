// `muster jwt keys`: an ed25519 key as a seed and a public key.

import { generateKeyPairSync } from 'node:crypto';
import { existsSync } from 'node:fs';
import type { Host } from '../../core/sdk/typescript/index.ts';
import { publicHex, seedHex } from '../wire/tokens/ed25519.ts';
import { TokenError } from '../wire/tokens/errors.ts';
import { writeWhole } from '../wire/whole-file.ts';

export async function makeKeys(
  host: Host,
  seedFile: string,
  publicFile: string,
  { force = false }: { readonly force?: boolean },
): Promise<{ exitCode: number }> {
  if (existsSync(seedFile) && !force)
    throw new TokenError('TOKEN_KEY', `${seedFile} is there already; name another file, or replace it with --force`);
  const { privateKey } = generateKeyPairSync('ed25519');
  // Without a line break, which readers of such files take for part of the key.
  writeWhole(seedFile, seedHex(privateKey), 0o600);
  writeWhole(publicFile, publicHex(privateKey), 0o600);
  await host.terminal.write(`${seedFile} signs tokens: keep it secret\n${publicFile} verifies them: ${publicHex(privateKey)}\n`);
  return { exitCode: 0 };
}
