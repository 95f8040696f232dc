// A provisioning hook that has cfssl sign, over its HTTP interface.

import { createHmac } from 'node:crypto';
import { readCertificate } from '../../plugins/wire/pki/certificate.ts';
import { bytesOf, decode, partsOf } from '../../plugins/wire/pki/der.ts';
import { oids, type Subject } from '../../plugins/wire/pki/names.ts';
import { defineAuthorityHook, type RemoteAuthority } from '../../plugins/wire/provisioning/authority-hook.ts';
import { HookError } from '../../plugins/wire/provisioning/errors.ts';
import { type Api, callApi, readSecret, required, textAt } from '../../plugins/wire/provisioning/http.ts';

interface Config {
  readonly 'plugin.muster.cfssl.url'?: string;
  readonly 'plugin.muster.cfssl.trust'?: string;
  readonly 'plugin.muster.cfssl.profile'?: string;
  readonly 'plugin.muster.cfssl.auth_key_file'?: string;
  readonly 'plugin.muster.cfssl.ca'?: string;
}

export default defineAuthorityHook('1.0.0', (given) => {
  const config = given as Config;
  const profile = config['plugin.muster.cfssl.profile'] ?? '';
  const api: Api = {
    url: required(config['plugin.muster.cfssl.url'], 'plugin.muster.cfssl.url'),
    trustFile: config['plugin.muster.cfssl.trust'],
  };
  const keyFile = config['plugin.muster.cfssl.auth_key_file'];
  const ask = async (method: string, body: object, signal: AbortSignal) => {
    const { body: answer } = await callApi(api, { path: `/api/v1/cfssl/${method}`, body }, signal);
    const { success, errors = [] } = (answer ?? {}) as { success?: boolean; errors?: { message?: string }[] };
    if (success === true) return (answer as { result: unknown }).result;
    throw new HookError('HOOK_AUTHORITY', `cfssl ${method}: ${errors[0]?.message ?? JSON.stringify(answer).slice(0, 160)}`);
  };
  const trusted = async (signal: AbortSignal) => {
    const file = config['plugin.muster.cfssl.ca'];
    return file
      ? readSecret(file, 'plugin.muster.cfssl.ca')
      : textAt(await ask('info', { label: '', profile }, signal), 'certificate');
  };
  return {
    sign: async ({ csr, names, request }, signal) => {
      const wanted = { certificate_request: csr, hosts: names, profile, subject: subjectOf(request.subject), bundle: false };
      const key = keyFile === undefined ? undefined : readSecret(keyFile, 'plugin.muster.cfssl.auth_key_file');
      const result = key === undefined ? await ask('sign', wanted, signal) : await ask('authsign', signed(wanted, key), signal);
      return { certificate: textAt(result, 'certificate'), ca: await trusted(signal) };
    },
    revoke: async ({ serial, certificate, reason }, signal) => {
      if (certificate === undefined) throw new HookError('HOOK_REFUSED', 'cfssl revokes by the certificate; give it along');
      const authority_key_id = authorityKeyOf(certificate);
      await ask('revoke', { serial: BigInt(`0x${serial}`).toString(10), authority_key_id, reason }, signal);
      return { revoked: true, crl: new URL('/api/v1/cfssl/crl', api.url).href };
    },
  } satisfies RemoteAuthority;
});

/** cfssl takes either nothing of the subject from the request, or what it is given here. */
function subjectOf({ CN = '', C, ST, L, O, OU }: Subject): object {
  const name = { ...(C && { C }), ...(ST && { ST }), ...(L && { L }), ...(O && { O }), ...(OU && { OU }) };
  return { CN, names: Object.keys(name).length > 0 ? [name] : [] };
}

/** What `authsign` wants: the request as it is, and proof that the sender has the key. */
function signed(wanted: object, hexKey: string): object {
  if (!/^([0-9a-f]{2})+$/i.test(hexKey))
    throw new HookError('HOOK_CONFIG', 'plugin.muster.cfssl.auth_key_file: the key is not in hex');
  const request = Buffer.from(JSON.stringify(wanted));
  const token = createHmac('sha256', Buffer.from(hexKey, 'hex')).update(request).digest('base64');
  return { token, request: request.toString('base64') };
}

function authorityKeyOf(pem: string): string {
  const value = readCertificate(pem).extensions.get(oids.authorityKeyIdentifier);
  if (!value) throw new HookError('HOOK_REFUSED', 'the certificate does not say which key signed it');
  return bytesOf(partsOf(decode(value))[0]).toString('hex');
}
