// Who signs, as Choria's keys name it.

import { existsSync } from 'node:fs';
import { PluginError } from '../../../core/sdk/typescript/index.ts';
import { filesOf, type LoginConfig, type LoginFiles, tlsOf } from '../login/config.ts';
import type { Tls } from '../login/http.ts';

export interface SignerConfig extends LoginConfig {
  readonly 'plugin.choria.security.request_signer.url'?: readonly string[];
  readonly 'plugin.choria.security.request_signer.service'?: boolean;
  readonly 'plugin.muster.request_signer.verify': boolean;
  readonly 'plugin.muster.security'?: string;
  readonly collectives?: readonly string[];
  readonly main_collective?: string;
  readonly ttl: number;
  readonly identity?: string;
}

/** Where the token is, if there is one and somebody signs for it; certificates are used otherwise. */
export function tokenFiles(config: SignerConfig): LoginFiles | undefined {
  const isSigner = config['plugin.choria.security.request_signer.service'] === true || urlsOf(config).length > 0;
  const file = config['plugin.security.choria.token_file'] ?? config['plugin.choria.security.request_signer.token_file'];
  if (!isSigner || !file) return undefined;
  const files = filesOf(config);
  return existsSync(files.token) ? files : undefined;
}

/** @throws PluginError `UNAVAILABLE` for what is no URL */
export function signerUrls(config: SignerConfig): readonly URL[] {
  return urlsOf(config).map((text) => {
    const url = URL.canParse(text) ? new URL(text) : undefined;
    if (url && (url.protocol === 'https:' || url.protocol === 'http:')) return url;
    throw new PluginError(
      'UNAVAILABLE',
      `plugin.choria.security.request_signer.url names '${text}', which is no URL with http or https`,
    );
  });
}

/** Who vouches for a signer: the CA for logins, or that of the security provider, or the system's. */
export function signerTls(config: SignerConfig): Tls & { readonly verify: boolean } {
  return { ...tlsOf(config), verify: config['plugin.muster.request_signer.verify'] };
}

function urlsOf(config: SignerConfig): readonly string[] {
  return (config['plugin.choria.security.request_signer.url'] ?? []).map((text) => text.trim()).filter((text) => text !== '');
}
