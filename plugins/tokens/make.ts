// `muster jwt provisioning`: from flags to a signed token in a file.

import type { Host } from '../../core/sdk/typescript/index.ts';
import { parseDuration } from '../wire/duration.ts';
import { TokenError } from '../wire/tokens/errors.ts';
import { readSigningKey } from '../wire/tokens/jwt.ts';
import { makeProvisioningToken, type ProvisioningClaims, readProvisioningToken } from '../wire/tokens/provisioning.ts';
import { writeWhole } from '../wire/whole-file.ts';

export interface MakeOptions {
  readonly token?: string;
  readonly urls?: string;
  readonly srv?: string;
  readonly default?: boolean;
  readonly insecure?: boolean;
  readonly registration?: string;
  readonly facts?: string;
  readonly username?: string;
  readonly password?: string;
  readonly extensions?: string;
  readonly org: string;
  readonly protocolV2?: boolean;
  readonly update?: boolean;
  readonly plaintext?: boolean;
  readonly target?: string;
  readonly validity: string;
}

export async function makeToken(host: Host, file: string, keyFile: string, options: MakeOptions): Promise<{ exitCode: number }> {
  const validityMs = parseDuration(options.validity);
  if (validityMs === undefined || validityMs < 1_000)
    throw new TokenError('TOKEN_CLAIMS', `--validity must be a duration such as 30d or 1y, not '${options.validity}'`);
  const key = readSigningKey(keyFile);
  const claims = claimsOf(options, await secretOf(host, options.token));
  const token = await makeProvisioningToken({ claims, validitySeconds: Math.floor(validityMs / 1_000) }, key);
  writeWhole(file, token, 0o600);
  const { exp = 0 } = await readProvisioningToken(token);
  await host.terminal.write(`${file} is a provisioning token until ${new Date(exp * 1_000).toISOString()}\n`);
  for (const warning of warningsFor(options)) await host.terminal.write(`muster: ${warning}\n`, 'stderr');
  return { exitCode: 0 };
}

function claimsOf(options: MakeOptions, secret: string): ProvisioningClaims {
  const { urls = '', srv = '', registration = '', facts = '', username = '', password = '' } = options;
  return {
    cht: secret,
    chs: options.insecure === false,
    chpd: options.default !== false,
    chu: urls,
    chsrv: srv,
    chrd: registration,
    chf: facts,
    chusr: username,
    chpwd: password,
    extensions: extensionsOf(options),
    ou: options.org,
    v2: options.protocolV2 ?? false,
    update: options.update ?? false,
  };
}

async function secretOf(host: Host, given: string | undefined): Promise<string> {
  if (given !== undefined && given !== '') return given;
  const secret = await askedSecret(host);
  if (secret === '')
    throw new TokenError('TOKEN_CLAIMS', 'a provisioning token needs a secret; name it with --token, or pipe it in');
  return secret;
}

/** Of a person, or the first line of what is piped in; empty if there is neither. */
async function askedSecret(host: Host): Promise<string> {
  const { interactive, piped } = await host.terminal.info();
  if (interactive) return host.terminal.prompt('Secret of the token: ', { secret: true });
  if (!piped) return '';
  const [line = ''] = (await host.terminal.read({ limitBytes: 4_096 })).split(/\r?\n/);
  return line;
}

function extensionsOf({ extensions, plaintext, target }: MakeOptions): Record<string, unknown> | null {
  const given = extensions === undefined ? undefined : objectIn(extensions);
  if (!plaintext && target === undefined) return given ?? null;
  const own = given?.muster;
  const muster = {
    ...(typeof own === 'object' && own),
    ...(plaintext && { plaintext }),
    ...(target !== undefined && { target }),
  };
  return { ...given, muster };
}

function objectIn(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // Said below.
  }
  throw new TokenError('TOKEN_CLAIMS', '--extensions must be a JSON object');
}

function warningsFor({ default: byDefault, protocolV2, plaintext, insecure }: MakeOptions): string[] {
  return [
    ...(byDefault === false
      ? [
          'with --no-default a machine without a configuration is not provisioned, and a node that loses its own does not come back',
        ]
      : []),
    ...(protocolV2
      ? [
          "with --protocol-v2 nodes are provisioned by Choria's provisioner, configured for protocol 2; Muster's speaks protocol 1",
        ]
      : []),
    ...(plaintext ? ['with --plaintext the token and all that nodes are given can be read on the way'] : []),
    ...(insecure === false
      ? ['with --no-insecure nothing is safer: a node without a certificate has nothing to verify requests with']
      : []),
  ];
}
