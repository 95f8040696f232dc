// What has to be right before the service starts, besides its file: the plugins that it names are there and find their own
// configuration good, and the signer has keys that fit.

import { readFileSync } from 'node:fs';
import type { Host } from '../../core/sdk/typescript/index.ts';
import { type AaaService, listOf, readSection } from '../wire/aaa/settings.ts';
import { readClientToken, verifyClientToken } from '../wire/tokens/client.ts';
import { readVerificationKey } from '../wire/tokens/jwt.ts';

const checkMs = 30_000;

/** Every problem, none if all is well. */
export async function findProblems(host: Host, file: string, settings: AaaService): Promise<string[]> {
  const { authenticator, auditors, authorizer } = settings;
  const problems = await Promise.all([
    ...listOf(authenticator).map((name) => askPlugin(host, 'authenticator', name)),
    ...listOf(auditors).map((name) => askPlugin(host, 'auditor', name)),
    ...(authorizer === undefined ? [] : [isThere(host, 'authorizer', authorizer)]),
    chainProblems(file, settings),
  ]);
  return problems.flat();
}

async function isThere(host: Host, kind: string, name: string): Promise<string[]> {
  const names = (await host.plugins.list(kind)).map((plugin) => plugin.name);
  if (names.includes(name)) return [];
  return [`there is no ${kind} ${name}; there are ${names.sort().join(', ') || 'none'}`];
}

async function askPlugin(host: Host, kind: string, name: string): Promise<string[]> {
  const missing = await isThere(host, kind, name);
  if (missing.length > 0) return missing;
  try {
    const { problems } = (await host.plugins.call(kind, name, `${kind}/check`, {}, { deadlineMs: checkMs })) as {
      problems: string[];
    };
    return problems.map((problem) => `${kind} ${name}: ${problem}`);
  } catch (error) {
    return [`${kind} ${name} can not be checked: ${(error as Error).message}`];
  }
}

/**
 * Where logins here make tokens in an organization's name, the signer has to know the organization's key. That of the issuer
 * itself, which Choria's documentation names, would refuse every token.
 */
async function chainProblems(file: string, { signer, basicjwt_signer }: AaaService): Promise<string[]> {
  const tokenFile = readSection(file, 'userlist_authenticator')?.signing_token;
  const keys = listOf(basicjwt_signer?.signing_certificate);
  if (signer === undefined || typeof tokenFile !== 'string' || keys.length === 0) return [];
  try {
    const token = readFileSync(tokenFile, 'utf8');
    const { iss = '' } = await readClientToken(token);
    if (!iss.startsWith('I-')) return [];
    await verifyClientToken(token, { signers: keys.map(readVerificationKey) });
    return [];
  } catch (error) {
    const what = `the issuer's token ${tokenFile} is not signed by a key of basicjwt_signer.signing_certificate`;
    return [`${what} (${(error as Error).message}); name the organization's public key there`];
  }
}
