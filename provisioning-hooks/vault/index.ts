// A provisioning hook that has the PKI engine of Vault (or OpenBao) sign, over its HTTP interface.

import { X509Certificate } from 'node:crypto';
import { certificatesIn } from '../../plugins/wire/pki/certificate.ts';
import { defineAuthorityHook, type RemoteAuthority } from '../../plugins/wire/provisioning/authority-hook.ts';
import { HookError } from '../../plugins/wire/provisioning/errors.ts';
import { type Api, type ApiAnswer, callApi, readSecret, required, textAt } from '../../plugins/wire/provisioning/http.ts';

interface Config {
  readonly 'plugin.muster.vault.url'?: string;
  readonly 'plugin.muster.vault.trust'?: string;
  readonly 'plugin.muster.vault.token_file'?: string;
  readonly 'plugin.muster.vault.mount'?: string;
  readonly 'plugin.muster.vault.role'?: string;
  readonly 'plugin.muster.vault.validity'?: number;
  readonly 'plugin.muster.vault.ca'?: string;
}

const notFound = 404;
const refusedFrom = 400;

export default defineAuthorityHook('1.0.0', (given) => {
  const config = given as Config;
  const mount = config['plugin.muster.vault.mount'] ?? 'pki';
  const role = required(config['plugin.muster.vault.role'], 'plugin.muster.vault.role');
  const api: Api = {
    url: required(config['plugin.muster.vault.url'], 'plugin.muster.vault.url'),
    trustFile: config['plugin.muster.vault.trust'],
    headers: { 'x-vault-token': readSecret(config['plugin.muster.vault.token_file'], 'plugin.muster.vault.token_file') },
  };
  const ask = async (path: string, body: object, signal: AbortSignal): Promise<ApiAnswer> => {
    const answer = await callApi(api, { path: `/v1/${mount}/${path}`, body }, signal);
    if (answer.status < refusedFrom || answer.status === notFound) return answer;
    const { errors = [] } = (answer.body ?? {}) as { errors?: string[] };
    throw new HookError('HOOK_AUTHORITY', `vault ${path}: ${errors.join('; ') || `status ${answer.status}`}`);
  };
  return {
    sign: async ({ identity, csr, names }, signal) => {
      const validityMs = config['plugin.muster.vault.validity'] ?? 0;
      const { status, body } = await ask(
        `sign/${encodeURIComponent(role)}`,
        {
          csr,
          common_name: identity,
          alt_names: names.join(','),
          format: 'pem',
          ...(validityMs > 0 && { ttl: `${Math.round(validityMs / 1_000)}s` }),
        },
        signal,
      );
      if (status === notFound) throw new HookError('HOOK_CONFIG', `vault has no ${mount}/sign/${role}`);
      return chainOf(body, config['plugin.muster.vault.ca']);
    },
    revoke: async ({ serial }, signal) => {
      const digits = serial.length % 2 === 0 ? serial : `0${serial}`;
      const serial_number = (digits.toLowerCase().match(/../g) ?? []).join(':');
      const { status } = await ask('revoke', { serial_number }, signal);
      return { revoked: status !== notFound, crl: new URL(`/v1/${mount}/crl/pem`, api.url).href };
    },
  } satisfies RemoteAuthority;
});

/** Intermediates go with the certificate; all that Vault named, or a file of the operator's, is to be trusted. */
function chainOf(body: unknown, trustFile: string | undefined): { certificate: string; ca: string } {
  const certificate = textAt(body, 'data', 'certificate');
  const issuer = textAt(body, 'data', 'issuing_ca');
  const { ca_chain: named } = (body as { data: { ca_chain?: string[] } }).data;
  const chain = Array.isArray(named) && named.length > 0 ? named : [issuer];
  const between = chain.filter((pem) => !isRoot(pem));
  const ca = trustFile ? readSecret(trustFile, 'plugin.muster.vault.ca') : lines(chain);
  return { certificate: lines([certificate, ...between]), ca };
}

function isRoot(pem: string): boolean {
  const certificate = new X509Certificate(pem);
  return certificate.checkIssued(certificate);
}

function lines(pems: readonly string[]): string {
  return pems
    .flatMap((pem) => certificatesIn(pem))
    .map((pem) => `${pem.trim()}\n`)
    .join('');
}
