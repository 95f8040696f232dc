// A certificate authority that keeps all rules but those that it is told to break.

import { generateKeyPairSync } from 'node:crypto';
import type { Target } from '../../plugins/provisioning/check-ca/target.ts';
import { type CertificatePlan, type Issuer, makeCertificate, randomSerial } from '../../plugins/wire/pki/certificate.ts';
import { readRequest } from '../../plugins/wire/pki/request.ts';
import { createPolicy } from '../../plugins/wire/provisioning/policy.ts';
import type { ProvisionReply, ProvisionRequest } from '../../plugins/wire/provisioning/reply.ts';
import { replyWith } from '../../plugins/wire/provisioning/settings.ts';

const dayMs = 86_400_000;

export interface Crookedness {
  /** Of the certificate of a node. */
  readonly plan?: (plan: CertificatePlan, request: ProvisionRequest) => CertificatePlan;
  /** Of the answer. */
  readonly reply?: (reply: ProvisionReply, ca: { readonly root: string; readonly stranger: string }) => ProvisionReply;
  /** Signs whatever it can read. */
  readonly signsAnything?: boolean;
  /** Called before each signature; may throw. */
  readonly before?: (request: ProvisionRequest) => void;
  readonly revoke?: Target['revoke'];
}

export function crookedTarget({ plan, reply, signsAnything = false, before, revoke }: Crookedness = {}): Target {
  const root = makeRoot('Crooked Root CA');
  const policy = createPolicy({});
  return {
    title: 'crooked',
    provision: async (request) => {
      before?.(request);
      const asked = signsAnything ? readRequest(String(request.csr?.csr)) : policy(request).request;
      const honest: CertificatePlan = {
        serial: randomSerial(),
        subject: asked.subject,
        publicKey: asked.publicKey,
        notBefore: new Date(Date.now() - dayMs),
        notAfter: new Date(Date.now() + 90 * dayMs),
        usages: ['digitalSignature'],
        extendedUsages: ['clientAuth', 'serverAuth'],
        names: [...new Set([request.identity, ...asked.names.dns])],
      };
      const certificate = makeCertificate(plan?.(honest, request) ?? honest, root.issuer);
      const answer = replyWith({ certificate, ca: root.pem }, request, {});
      return reply?.(answer, { root: root.pem, stranger: makeRoot('Stranger').pem }) ?? answer;
    },
    revoke: revoke ?? (() => Promise.resolve(undefined)),
  };
}

function makeRoot(name: string): { readonly issuer: Issuer; readonly pem: string } {
  const issuer: Issuer = { subject: { CN: name }, ...generateKeyPairSync('ec', { namedCurve: 'P-256' }) };
  const pem = makeCertificate(
    {
      serial: randomSerial(),
      subject: issuer.subject,
      publicKey: issuer.publicKey,
      notBefore: new Date(Date.now() - dayMs),
      notAfter: new Date(Date.now() + 3_650 * dayMs),
      usages: ['keyCertSign', 'cRLSign'],
      authority: { pathLength: 0 },
    },
    issuer,
  );
  return { issuer, pem };
}
