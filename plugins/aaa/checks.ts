// What has to be right before the service starts, besides its file: the plugins that it names are there and find their own
// configuration good, the certificate has its key, and the signer has keys that fit.

import { existsSync, readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
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
    tlsProblems(settings),
    chainProblems(file, settings),
  ]);
  return problems.flat();
}

/** That files are missing is said of the settings. */
function tlsProblems({ tls_certificate, tls_key, tls_ca, tls_client_ca, disable_tls }: AaaService): string[] {
  const [cert = '', key = '', ca] = [tls_certificate, tls_key, tls_ca ?? tls_client_ca];
  const isHalf = ![cert, key, ...(ca === undefined ? [] : [ca])].every((file) => existsSync(file));
  if (disable_tls === true || isHalf) return [];
  try {
    const authority = ca === undefined ? {} : { ca: readFileSync(ca) };
    createSecureContext({ cert: readFileSync(cert), key: readFileSync(key), ...authority });
    return [];
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ERR_OSSL_X509_KEY_VALUES_MISMATCH')
      return [`tls_key: ${key} is not the key of the certificate ${cert}; name the two that belong together`];
    return [`tls_certificate ${cert} with tls_key ${key}${ca === undefined ? '' : ` and ${ca}`} can not be used: ${message}`];
  }
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
