// What is to be seen of one certificate.

import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { type CertificateDetails, certificatesIn, readCertificate } from '../../wire/pki/certificate.ts';
import { followChain } from '../../wire/pki/chain.ts';
import { keyUsages, oids, type Subject } from '../../wire/pki/names.ts';
import type { ProvisionReply } from '../../wire/provisioning/reply.ts';
import { tryHandshake } from './handshake.ts';
import { type Finding, failed, passed, type RuleId, skipped } from './rules.ts';
import type { Sample } from './samples.ts';

export interface Limits {
  readonly minDays: number;
  readonly maxDays: number;
}

/** An answer with a certificate in it. */
export type Signed = ProvisionReply & { readonly certificate: string };

const dayMs = 86_400_000;
const anyPurpose = '2.5.29.37.0';
/** A clock may be ahead by so much before it is a fault. */
const skewMs = 60_000;

/** The certificate of an answer, and what is wrong with how it is written. */
export function checkPem({ certificate }: Signed): {
  readonly details: CertificateDetails | undefined;
  readonly finding: Finding;
} {
  const blocks = certificatesIn(certificate);
  const [first, ...others] = blocks;
  if (first === undefined)
    return { details: undefined, finding: failed('pem', 'there is no PEM block CERTIFICATE in `certificate`') };
  try {
    const details = readCertificate(first);
    const rest = others.map((pem) => readCertificate(pem));
    const strange = blocks.reduce((text, block) => text.replace(block, ''), certificate).match(/-----BEGIN [A-Z0-9 ]+-----/);
    const leaf = rest.findIndex(({ x509 }) => !x509.ca);
    const root = rest.find(({ x509 }) => x509.checkIssued(x509));
    if (strange) return { details, finding: failed('pem', `there is also ${strange[0]}`) };
    if (leaf !== -1) return { details, finding: failed('pem', `block ${leaf + 2} is no certificate authority`) };
    if (root) return { details, finding: failed('pem', `the root ${subjectOf(root)} is in \`certificate\``) };
    return { details, finding: passed('pem', `${blocks.length} ${blocks.length === 1 ? 'certificate' : 'certificates'}`) };
  } catch (error) {
    return { details: undefined, finding: failed('pem', (error as Error).message) };
  }
}

/** The key that a node is left with: its own, or one that an authority insists on making. Undefined if that can't be read. */
export function keyOf({ keys }: Sample, { key }: ProvisionReply): KeyObject | undefined {
  if (!key) return keys.privateKey;
  try {
    return createPrivateKey(key);
  } catch {
    return undefined;
  }
}

/** Whether a certificate is for the key that the node is left with; `rule` says of which sample. */
export function inspectKey(rule: RuleId, { x509 }: CertificateDetails, sample: Sample, reply: ProvisionReply): Finding {
  const key = keyOf(sample, reply);
  if (!key || !x509.checkPrivateKey(key)) return failed(rule, `the key is not that of the ${reply.key ? 'answer' : 'request'}`);
  const whose = reply.key ? 'that of the answer, which is handed over encrypted' : 'that of the request';
  return passed(rule, `${x509.publicKey.asymmetricKeyType}, ${whose}`);
}

/** Everything else that one certificate tells by itself. */
export function inspect(details: CertificateDetails, { identity }: Sample, limits: Limits): Finding[] {
  return [
    details.subject.CN === identity
      ? passed('cn', identity)
      : failed('cn', `it is '${details.subject.CN ?? ''}', and the node is ${identity}`),
    ...inspectNames(details, identity),
    ...inspectUsages(details),
    inspectValidity(details, limits),
  ];
}

export function inspectNames({ names }: CertificateDetails, identity: string): Finding[] {
  if (!names)
    return [
      failed('san', 'there is no subjectAltName'),
      failed('fqdn', 'there is no subjectAltName'),
      skipped('names', 'there is no subjectAltName'),
    ];
  const all = [...names.dns, ...names.ip];
  const own = (name: string) => name.toLowerCase() === identity || name.toLowerCase().endsWith(`.${identity}`);
  const others = all.filter((name) => isIP(name) === 0 && !own(name));
  return [
    passed('san', all.join(', ')),
    names.dns.some((name) => name.toLowerCase() === identity)
      ? passed('fqdn', identity)
      : failed('fqdn', `${identity} is not among ${all.join(', ')}`),
    others.length === 0 ? passed('names', `${all.length} in all`) : failed('names', `there is also ${others.join(', ')}`),
  ];
}

function inspectUsages({ isAuthority, usages, extendedUsages }: CertificateDetails): Finding[] {
  const given = extendedUsages ?? [];
  const purposes = [oids.clientAuth, oids.serverAuth].filter((oid) => !given.includes(oid) && !given.includes(anyPurpose));
  const missing = purposes.map((oid) => (oid === oids.clientAuth ? 'clientAuth' : 'serverAuth'));
  return [
    usages === undefined
      ? passed('usage', 'none is stated, so that all are allowed')
      : usages.includes(keyUsages.digitalSignature)
        ? passed('usage', 'digitalSignature')
        : failed('usage', 'digitalSignature is missing'),
    extendedUsages === undefined
      ? failed('purpose', 'there is no extendedKeyUsage')
      : missing.length === 0
        ? passed('purpose', 'clientAuth, serverAuth')
        : failed('purpose', `${missing.join(' and ')} is missing`),
    isAuthority ? failed('leaf', 'it may sign other certificates') : passed('leaf', 'CA:FALSE'),
  ];
}

function inspectValidity({ x509 }: CertificateDetails, { minDays, maxDays }: Limits): Finding {
  const [from, until, now] = [Date.parse(x509.validFrom), Date.parse(x509.validTo), Date.now()];
  if (from > now + skewMs) return failed('validity', `it is not valid before ${x509.validFrom}; look at the clocks`);
  if (until <= now) return failed('validity', `it expired on ${x509.validTo}`);
  const days = (until - now) / dayMs;
  const shown = `${days >= 10 ? Math.round(days) : days.toFixed(1)} days`;
  // An hour less than stated is no fault.
  if (days < minDays - 1 / 24) return failed('validity', `it is valid for ${shown}; it has to be ${minDays} at least`);
  if (days > maxDays) return failed('validity', `it is valid for ${shown}; it should be ${maxDays} at most`);
  return passed('validity', `${shown}, until ${x509.validTo}`);
}

/** What a certificate and the returned authority are together. */
export async function inspectTrust(reply: Signed, sample: Sample): Promise<Finding[]> {
  const { certificate, ca = '' } = reply;
  if (certificatesIn(ca).length === 0)
    return [failed('chain', 'there is no certificate in `ca`'), skipped('handshake', 'there is nothing to trust')];
  try {
    const { subjects, problem } = followChain(certificate, ca);
    const chain = problem === undefined ? passed('chain', subjects.slice(1).join(' ← ')) : failed('chain', problem);
    const own = keyOf(sample, reply);
    if (!own || !new X509Certificate(certificate).checkPrivateKey(own))
      return [chain, skipped('handshake', 'the certificate is not for the key of the node')];
    const key = own.export({ type: 'pkcs8', format: 'pem' }) as string;
    const refusal = await tryHandshake(sample.identity, { cert: certificate, key, ca });
    return [chain, refusal === undefined ? passed('handshake', 'both ends accepted it') : failed('handshake', refusal)];
  } catch (error) {
    return [failed('chain', (error as Error).message), skipped('handshake', 'there is nothing that TLS could be tried with')];
  }
}

export function inspectSubject({ subject }: CertificateDetails, wanted: Subject): Finding {
  const parts = Object.entries(wanted) as [keyof Subject, string][];
  const dropped = parts.filter(([part]) => subject[part] === undefined).map(([part]) => part);
  const replaced = parts.filter(([part, value]) => subject[part] !== undefined && subject[part] !== value);
  if (dropped.length > 0)
    return failed('subject', `${dropped.join(', ')} of the request ${dropped.length === 1 ? 'is' : 'are'} not in it`);
  if (replaced.length > 0)
    return passed('subject', `by policy: ${replaced.map(([part]) => `${part}=${subject[part]}`).join(', ')}`);
  return passed('subject', parts.map(([part, value]) => `${part}=${value}`).join(', '));
}

export function inspectSettings({ configuration }: ProvisionReply): Finding {
  const entries = Object.entries(configuration ?? {});
  const broken = entries.find(([key, value]) => /[\r\n]/.test(key + value));
  if (entries.length === 0) return failed('settings', '`configuration` is missing or empty');
  if (broken)
    return failed('settings', `${broken[0].split('\n')[0]} has a line break, which would add a line to the file of the node`);
  if (!/^(0|no|false|n|f)$/i.test(configuration?.['plugin.choria.server.provision'] ?? ''))
    return failed('settings', 'plugin.choria.server.provision is not false in it, so the node may come straight back');
  return passed('settings', `${entries.length} lines`);
}

function subjectOf({ x509 }: CertificateDetails): string {
  return x509.subject.replaceAll('\n', ', ');
}
