// A provisioning hook that has step-ca sign, with the key of one of its JWK provisioners.

import { createPrivateKey, type JsonWebKey, randomUUID } from 'node:crypto';
import { type JWK, SignJWT } from 'jose';
import { defineAuthorityHook, type RemoteAuthority } from '../../plugins/wire/provisioning/authority-hook.ts';
import { HookError } from '../../plugins/wire/provisioning/errors.ts';
import { type Api, callApi, readSecret, required, textAt } from '../../plugins/wire/provisioning/http.ts';

interface Config {
  readonly 'plugin.muster.step_ca.url'?: string;
  readonly 'plugin.muster.step_ca.root'?: string;
  readonly 'plugin.muster.step_ca.provisioner'?: string;
  readonly 'plugin.muster.step_ca.key_file'?: string;
  readonly 'plugin.muster.step_ca.validity'?: number;
}

/** A token is used at once; clocks may differ a little. */
const tokenSeconds = 300;
const skewSeconds = 30;
const refusedFrom = 400;
const reasonCodes: Readonly<Record<string, number>> = {
  unspecified: 0,
  keyCompromise: 1,
  affiliationChanged: 3,
  superseded: 4,
  cessationOfOperation: 5,
};

export default defineAuthorityHook('1.0.0', (given) => {
  const config = given as Config;
  const rootFile = required(config['plugin.muster.step_ca.root'], 'plugin.muster.step_ca.root');
  const api: Api = { url: required(config['plugin.muster.step_ca.url'], 'plugin.muster.step_ca.url'), trustFile: rootFile };
  const issuer = required(config['plugin.muster.step_ca.provisioner'], 'plugin.muster.step_ca.provisioner');
  const ask = async (path: string, body: object, signal: AbortSignal) => {
    const answer = await callApi(api, { path, body }, signal);
    if (answer.status < refusedFrom) return answer.body;
    const { message = `status ${answer.status}` } = (answer.body ?? {}) as { message?: string };
    throw new HookError('HOOK_AUTHORITY', `step-ca ${path}: ${message}`);
  };
  /** Proof that the provisioner allows this one thing. */
  const token = (path: string, subject: string, claims: Readonly<Record<string, unknown>>) => {
    const jwk = readKey(config['plugin.muster.step_ca.key_file']);
    const now = Math.floor(Date.now() / 1_000);
    return new SignJWT({ ...claims })
      .setProtectedHeader({ alg: jwk.alg ?? 'ES256', kid: String(jwk.kid), typ: 'JWT' })
      .setIssuer(issuer)
      .setAudience(new URL(path, api.url).href)
      .setSubject(subject)
      .setJti(randomUUID())
      .setIssuedAt(now)
      .setNotBefore(now - skewSeconds)
      .setExpirationTime(now + tokenSeconds)
      .sign(createPrivateKey({ key: jwk as JsonWebKey, format: 'jwk' }));
  };
  return {
    sign: async ({ identity, csr, names }, signal) => {
      const ott = await token('/1.0/sign', identity, { sans: names });
      const validityMs = config['plugin.muster.step_ca.validity'] ?? 0;
      const wanted = { csr, ott, ...(validityMs > 0 && { notAfter: `${Math.round(validityMs / 1_000)}s` }) };
      const answer = await ask('/1.0/sign', wanted, signal);
      const [certificate, intermediate] = [textAt(answer, 'crt'), textAt(answer, 'ca')];
      return {
        certificate: certificate + intermediate,
        ca: `${readSecret(rootFile, 'plugin.muster.step_ca.root')}\n${intermediate}`,
      };
    },
    revoke: async ({ serial, reason }, signal) => {
      const decimal = BigInt(`0x${serial}`).toString(10);
      const ott = await token('/1.0/revoke', decimal, {});
      // Passive: the authority refuses to renew it, and puts it on its list if it keeps one.
      await ask('/1.0/revoke', { serial: decimal, ott, reasonCode: reasonCodes[reason] ?? 0, reason, passive: true }, signal);
      return { revoked: true, crl: new URL('/1.0/crl', api.url).href };
    },
  } satisfies RemoteAuthority;
});

function readKey(file: string | undefined): JWK {
  const text = readSecret(file, 'plugin.muster.step_ca.key_file');
  let key: JWK;
  try {
    key = JSON.parse(text) as JWK;
  } catch (error) {
    throw new HookError('HOOK_CONFIG', `plugin.muster.step_ca.key_file is no JSON: decrypt it with \`step crypto jwe decrypt\``, {
      cause: error,
    });
  }
  if (key.kid && key.d) return key;
  throw new HookError('HOOK_CONFIG', 'plugin.muster.step_ca.key_file is no private JSON Web Key with a `kid`');
}
