// The configuration that a node is given along with its certificate.

import { readFileSync } from 'node:fs';
import { HookError } from './errors.ts';
import type { ProvisionReply, ProvisionRequest } from './reply.ts';

export interface SettingsConfig {
  /** File with further lines `key = value`; `{{identity}}` and `{{ssldir}}` are replaced. */
  readonly 'plugin.muster.provisioning.node_settings'?: string;
}

const usualFolder = '/etc/choria/ssl';

/** The answer for a node that got a certificate. @throws HookError `HOOK_CONFIG` if the file of settings can't be read */
export function replyWith(
  { certificate, ca }: { readonly certificate: string; readonly ca: string },
  { identity, csr }: ProvisionRequest,
  config: SettingsConfig,
): ProvisionReply {
  const ssldir = csr?.ssldir || usualFolder;
  return {
    certificate,
    ca,
    configuration: {
      identity,
      // Without it a node whose token says so would come straight back.
      'plugin.choria.server.provision': 'false',
      'plugin.security.provider': 'file',
      'plugin.security.file.certificate': `${ssldir}/certificate.pem`,
      'plugin.security.file.key': `${ssldir}/private.pem`,
      'plugin.security.file.ca': `${ssldir}/ca.pem`,
      ...readSettings(config['plugin.muster.provisioning.node_settings'], { identity, ssldir }),
    },
  };
}

/** Lines of the file, with its placeholders replaced. @throws HookError `HOOK_CONFIG` */
export function readSettings(file: string | undefined, values: Readonly<Record<string, string>>): Record<string, string> {
  if (!file) return {};
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new HookError('HOOK_CONFIG', `plugin.muster.provisioning.node_settings: ${(error as Error).message}`, { cause: error });
  }
  const lines = text.split('\n').map((line) => line.trim());
  return Object.fromEntries(
    lines
      .filter((line) => line !== '' && !line.startsWith('#') && line.includes('='))
      .map((line) => {
        const at = line.indexOf('=');
        const value = line.slice(at + 1).trim();
        return [line.slice(0, at).trim(), value.replace(/\{\{(\w+)\}\}/g, (whole, name: string) => values[name] ?? whole)];
      }),
  );
}
