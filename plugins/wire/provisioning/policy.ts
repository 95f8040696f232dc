// Which names a node gets into its certificate: its own, and no name that anybody else goes by.

import type { SubjectPart } from '../pki/names.ts';
import { subjectParts } from '../pki/names.ts';
import { type CertificateRequest, readRequest } from '../pki/request.ts';
import { compilePattern, type Pattern, patternSource } from '../regexp.ts';
import { HookError } from './errors.ts';
import type { ProvisionRequest } from './reply.ts';

export interface PolicyConfig {
  /** Patterns of names that belong to callers and not to nodes. */
  readonly 'plugin.muster.provisioning.deny'?: readonly string[];
  /** Patterns of further names that any node may ask for. */
  readonly 'plugin.muster.provisioning.names'?: readonly string[];
}

export interface Approved {
  readonly identity: string;
  readonly csr: string;
  readonly request: CertificateRequest;
  /** What the certificate is to be valid for: the identity first. */
  readonly names: readonly string[];
}

/** Choria takes these for clients and for clients that may act for others. */
export const clientNames: readonly string[] = [
  '\\.privileged.mcollective$',
  '\\.privileged.choria$',
  '\\.mcollective$',
  '\\.choria$',
];

/** X.509 allows no longer parts of a subject. */
const longestPart = 64;
const longestName = 253;
const most = { names: 32 } as const;
const hostName = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/i;

export type Policy = (asked: Pick<ProvisionRequest, 'identity' | 'csr'>) => Approved;

/** @throws HookError `HOOK_CONFIG` for a pattern that is none */
export function createPolicy(config: PolicyConfig): Policy {
  const denied = patternsOf(config['plugin.muster.provisioning.deny'] ?? clientNames, 'plugin.muster.provisioning.deny');
  const further = patternsOf(config['plugin.muster.provisioning.names'] ?? [], 'plugin.muster.provisioning.names');
  return ({ identity, csr }) => {
    if (typeof csr?.csr !== 'string') throw refused(`there is no certificate request of ${identity}`);
    checkName(identity, denied, identity);
    if (identity.length > longestPart)
      throw refused(`${identity} has ${identity.length} characters; a name in a certificate has ${longestPart} at most`);
    const request = read(csr.csr, identity);
    const asked = [...request.names.dns, ...request.names.ip];
    if (request.names.others > 0) throw refused(`${identity} asks for names that are neither DNS names nor addresses`);
    if (asked.length > most.names) throw refused(`${identity} asks for ${asked.length} names; ${most.names} are allowed`);
    for (const name of request.names.dns) checkName(name, denied, identity);
    for (const name of asked) checkOwner(name, identity, further);
    return { identity, csr: csr.csr, request, names: [...new Set([identity, ...asked])] };
  };
}

/** Whether a node may have a name at all. @throws HookError `HOOK_CONFIG` for a pattern that is none */
export function createNamePolicy(config: PolicyConfig): (identity: string) => void {
  const denied = patternsOf(config['plugin.muster.provisioning.deny'] ?? clientNames, 'plugin.muster.provisioning.deny');
  return (identity) => checkName(identity, denied, identity);
}

function read(pem: string, identity: string): CertificateRequest {
  let request: CertificateRequest;
  try {
    request = readRequest(pem);
  } catch (error) {
    throw new HookError('HOOK_REFUSED', `the certificate request of ${identity}: ${(error as Error).message}`, { cause: error });
  }
  if (request.subject.CN !== identity)
    throw refused(`the certificate request is for '${request.subject.CN ?? ''}' and not for ${identity}`);
  for (const part of Object.keys(subjectParts) as SubjectPart[]) {
    const value = request.subject[part];
    if (value === undefined) continue;
    const fits = part === 'C' ? /^[A-Za-z]{2}$/.test(value) : value.length <= longestPart && isPlain(value);
    if (!fits) throw refused(`the certificate request of ${identity} has a ${part} that no certificate may have`);
  }
  return request;
}

/** Text that shows as what it is. */
function isPlain(value: string): boolean {
  return value !== '' && !/\p{C}/u.test(value);
}

function checkName(name: string, denied: readonly Pattern[], identity: string): void {
  if (name.length > longestName || !hostName.test(name)) throw refused(`'${name.slice(0, 80)}' is no name of a host`);
  // Names of hosts are the same in capitals.
  if (denied.some((pattern) => pattern.test(name) || pattern.test(name.toLowerCase())))
    throw refused(`${identity} asks for ${name}, which is a name of callers (plugin.muster.provisioning.deny)`);
}

function checkOwner(name: string, identity: string, further: readonly Pattern[]): void {
  const lower = name.toLowerCase();
  const own = identity.toLowerCase();
  if (lower === own || lower.endsWith(`.${own}`) || further.some((pattern) => pattern.test(lower))) return;
  throw refused(`${identity} asks for ${name}, which is neither its own nor below it (plugin.muster.provisioning.names)`);
}

function patternsOf(sources: readonly string[], key: string): Pattern[] {
  return sources.map((source) => {
    const pattern = compilePattern(patternSource(source) ?? source);
    if (!pattern) throw new HookError('HOOK_CONFIG', `${key}: '${source}' is no regular expression`);
    return pattern;
  });
}

function refused(message: string): HookError {
  return new HookError('HOOK_REFUSED', message);
}
