// What a node sent, and what a hook gave for it, held against what must be so.

import { createHash, type KeyObject } from 'node:crypto';
import { type CertificateDetails, readCertificate } from '../wire/pki/certificate.ts';
import type { TrustCheck } from '../wire/pki/chain.ts';
import { keyUsages, oids } from '../wire/pki/names.ts';
import { type CertificateRequest, readRequest } from '../wire/pki/request.ts';
import type { ProvisionReply } from '../wire/provisioning/reply.ts';
import type { Pattern } from '../wire/regexp.ts';
import { verifiesHex } from '../wire/tokens/ed25519.ts';
import { ProvisionerError } from './errors.ts';

const anyPurpose = '2.5.29.37.0';
/** A clock may be ahead by so much before it is a fault. */
const skewMs = 60_000;

/** @throws ProvisionerError `PROVISIONER_REFUSED` */
export function checkRequest(pem: string, identity: string, deny: readonly Pattern[]): CertificateRequest {
  let request: CertificateRequest;
  try {
    request = readRequest(pem);
  } catch (error) {
    throw refused(`the certificate request of ${identity}: ${(error as Error).message}`, error);
  }
  if (request.subject.CN !== identity)
    throw refused(`the certificate request of ${identity} is for '${(request.subject.CN ?? '').slice(0, 80)}'`);
  if (request.publicKey.asymmetricKeyType !== 'rsa')
    throw refused(`the certificate request of ${identity} is for a key that is none of RSA, as protocol v1 needs it`);
  const denied = [identity, ...request.names.dns].find((name) => isDenied(name, deny));
  if (denied !== undefined)
    throw refused(
      `the certificate request of ${identity} has the name ${denied}, which no node gets (plugin.provisioner.cert_deny_list)`,
    );
  return request;
}

/** @throws ProvisionerError `PROVISIONER_REFUSED` */
export function checkNonce(identity: string, nonce: string, signed: { public_key: string; signature: string }): void {
  if (!verifiesHex(nonce, signed.signature, signed.public_key))
    throw refused(`${identity} did not sign with the ed25519 key that it showed`);
}

export interface Expected {
  readonly identity: string;
  readonly deny: readonly Pattern[];
  /** That of the node, or of the private key that it is sent; undefined if it has none. */
  readonly publicKey: KeyObject | undefined;
  readonly trust: TrustCheck;
  readonly now: number;
}

/** The certificate that a hook gave; undefined if it gave none. @throws ProvisionerError `PROVISIONER_HOOK` */
export function readGiven({ certificate }: ProvisionReply): CertificateDetails | undefined {
  try {
    return certificate ? readCertificate(certificate) : undefined;
  } catch (error) {
    throw useless(`its certificate can not be read: ${(error as Error).message}`, error);
  }
}

/** @throws ProvisionerError `PROVISIONER_HOOK` */
export function checkCertificate(details: CertificateDetails, reply: ProvisionReply, expected: Expected): void {
  const { certificate = '', ca } = reply;
  const { publicKey, trust, now } = expected;
  if (!ca) throw useless('there is no `ca` beside its certificate, so that the node would not take it');
  if (publicKey && !details.x509.publicKey.equals(publicKey))
    throw useless('its certificate is for another key than that of the node');
  checkNames(details, expected);
  checkUse(details, now);
  const problem = distrust(() => trust.distrustOf(details.x509, certificate, ca, now));
  if (problem !== undefined) throw useless(`its certificate and \`ca\` do not belong together: ${problem}`);
}

/** What can't be read is not trusted either. */
function distrust(check: () => string | undefined): string | undefined {
  try {
    return check();
  } catch (error) {
    return (error as Error).message;
  }
}

function checkNames({ subject, names }: CertificateDetails, { identity, deny }: Expected): void {
  if (subject.CN !== identity)
    throw useless(`its certificate is for '${(subject.CN ?? '').slice(0, 80)}' and not for ${identity}`);
  const denied = names?.dns.find((name) => isDenied(name, deny));
  if (denied !== undefined) throw useless(`its certificate has the name ${denied}, which no node gets`);
  // What has no names at all is what authorities make of Choria's requests; it is of less use, but no other's.
  if (names && names.dns.length > 0 && !names.dns.some((name) => name.toLowerCase() === identity.toLowerCase()))
    throw useless(`its certificate has names, and ${identity} is not among them`);
}

function checkUse({ x509, isAuthority, usages, extendedUsages }: CertificateDetails, now: number): void {
  if (Date.parse(x509.validFrom) > now + skewMs)
    throw useless(`its certificate is not valid before ${x509.validFrom}; compare the clocks`);
  if (Date.parse(x509.validTo) <= now) throw useless(`its certificate expired on ${x509.validTo}`);
  if (isAuthority) throw useless('its certificate is one of an authority');
  if (usages && !usages.includes(keyUsages.digitalSignature)) throw useless('its certificate must not sign (digitalSignature)');
  if (extendedUsages && !extendedUsages.includes(oids.clientAuth) && !extendedUsages.includes(anyPurpose))
    throw useless('its certificate is not for clients (clientAuth)');
}

/** What goes into the configuration of a node. @throws ProvisionerError `PROVISIONER_HOOK` */
export function checkConfiguration(
  reply: ProvisionReply,
  identity: string,
  comesBack: boolean,
): Readonly<Record<string, string>> {
  const configuration = reply.configuration ?? {};
  const entries = Object.entries(configuration);
  if (entries.length === 0) throw useless('there is no `configuration` in its answer');
  const broken = entries.find(([key, value]) => /[\r\n\0]/.test(key + value));
  if (broken)
    throw useless(
      `the value of ${broken[0].slice(0, 80).split(/[\r\n\0]/)[0]} has a line break, which would add a line to the node's file`,
    );
  if (configuration.identity !== undefined && configuration.identity !== identity)
    throw useless(`its configuration is for ${configuration.identity.slice(0, 80)} and not for ${identity}`);
  checkFileNames(reply);
  const key = 'plugin.choria.server.provision';
  // Without it a node whose token says so would come straight back, and helpers of Choria leave it out.
  return comesBack && configuration[key] === undefined ? { ...configuration, [key]: 'false' } : configuration;
}

function checkFileNames({ action_policies, opa_policies }: ProvisionReply): void {
  const names = [
    ...Object.keys(action_policies ?? {}).map((name) => [name, '.policy'] as const),
    ...Object.keys(opa_policies ?? {}).map((name) => [name, '.rego'] as const),
  ];
  const wrong = names.find(([name, ending]) => !name.endsWith(ending) || !/^[\w.-]+$/.test(name) || name.startsWith('.'));
  if (wrong) throw useless(`'${wrong[0].slice(0, 80)}' is no name of a policy; it is a file name that ends in ${wrong[1]}`);
}

export function fingerprint(pem: string): string {
  return createHash('sha256').update(pem).digest('hex');
}

/** Names of hosts are the same in capitals. */
function isDenied(name: string, deny: readonly Pattern[]): boolean {
  return deny.some((pattern) => pattern.test(name) || pattern.test(name.toLowerCase()));
}

function refused(message: string, cause?: unknown): ProvisionerError {
  return new ProvisionerError('PROVISIONER_REFUSED', message, { cause });
}

function useless(message: string, cause?: unknown): ProvisionerError {
  return new ProvisionerError('PROVISIONER_HOOK', message, { cause });
}
