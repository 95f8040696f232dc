// Trust in callers' certificates: chain, dates, purpose, names. Results are remembered for each PEM text.

import { type KeyObject, X509Certificate } from 'node:crypto';
import { WireError } from '../wire/errors.ts';
import { compilePattern, type Pattern } from '../wire/regexp.ts';

const clientAuth = '1.3.6.1.5.5.7.3.2';
const maxRemembered = 4096;
/** Anybody may send what is refused. */
const maxRefused = 256;
/** Anybody may send a longer text, which is not worth its room. A certificate has some 2,000 characters, a chain of them several times that. */
const maxRememberedLength = 16_384;
const maxChain = 8;

/** A caller's certificate that was found good, as far as it does not depend on the request. */
export interface Trusted {
  readonly key: KeyObject;
  readonly commonName: string;
  readonly dnsNames: readonly string[];
  readonly privileged: boolean;
  readonly notBefore: number;
  readonly notAfter: number;
}

export interface TrustOptions {
  readonly roots: readonly X509Certificate[];
  readonly allowed: readonly Pattern[];
  readonly privileged: readonly Pattern[];
}

export class TrustStore {
  readonly #options: TrustOptions;
  readonly #remembered = new Map<string, Trusted>();
  readonly #refused = new Map<string, Pick<WireError, 'code' | 'message'>>();
  readonly #allowed = new Set<string>();

  constructor(options: TrustOptions) {
    this.#options = options;
  }

  /**
   * Whether the certificate in `pem` may speak for a caller name. `anybody` may who has one from the authority.
   * @returns the key that the request must be signed with
   * @throws WireError `WIRE_CERTIFICATE`, `WIRE_CALLER`
   */
  verify(pem: string, callerName: string, now: number, { anybody = false } = {}): KeyObject {
    const trusted = this.#trusted(pem, now);
    if (now < trusted.notBefore || now > trusted.notAfter)
      throw new WireError(
        'WIRE_CERTIFICATE',
        `the certificate of ${trusted.commonName} is ${now < trusted.notBefore ? 'not valid yet' : 'expired'}`,
      );
    if (trusted.privileged) return trusted.key;
    if (!trusted.dnsNames.includes(callerName) && trusted.commonName !== callerName) {
      throw new WireError('WIRE_CALLER', `the caller ${callerName} used the certificate of ${trusted.commonName}`);
    }
    if (!anybody && !this.#isAllowed(callerName))
      throw new WireError('WIRE_CALLER', `the caller ${callerName} is not on the list of allowed certificate names`);
    return trusted.key;
  }

  #isAllowed(callerName: string): boolean {
    if (this.#allowed.has(callerName)) return true;
    if (!this.#options.allowed.some((pattern) => pattern.test(callerName))) return false;
    if (this.#allowed.size >= maxRemembered) this.#allowed.clear();
    this.#allowed.add(callerName);
    return true;
  }

  #trusted(pem: string, now: number): Trusted {
    const known = this.#remembered.get(pem);
    if (known) return known;
    const refused = this.#refused.get(pem);
    if (refused) throw new WireError(refused.code, refused.message);
    try {
      const trusted = examine(pem, this.#options, now);
      remember(this.#remembered, pem, trusted, maxRemembered);
      return trusted;
    } catch (error) {
      const { code, message } =
        error instanceof WireError
          ? error
          : new WireError('WIRE_CERTIFICATE', `the certificate can't be read: ${(error as Error).message}`);
      // The error itself would keep all that was under way when it came about.
      remember(this.#refused, pem, { code, message }, maxRefused);
      throw new WireError(code, message);
    }
  }
}

function remember<T>(kept: Map<string, T>, pem: string, value: T, most: number): void {
  if (pem.length > maxRememberedLength) return;
  if (kept.size >= most) kept.delete(kept.keys().next().value ?? '');
  kept.set(pem, value);
}

function examine(pem: string, options: TrustOptions, now: number): Trusted {
  const [leaf, ...intermediates] = readCertificates(pem);
  if (!leaf) throw new WireError('WIRE_CERTIFICATE', 'the request carries no certificate in PEM form');
  const { commonName, dnsNames } = namesOf(leaf);
  if (leaf.publicKey.asymmetricKeyType !== 'rsa')
    throw new WireError('WIRE_CERTIFICATE', `the key of ${commonName} is not RSA, which protocol v1 needs`);
  if (!leaf.keyUsage?.includes(clientAuth))
    throw new WireError('WIRE_CERTIFICATE', `the certificate of ${commonName} is not for client authentication`);
  buildChain(leaf, intermediates, options.roots, now);
  return {
    key: leaf.publicKey,
    commonName,
    dnsNames,
    privileged: [commonName, ...dnsNames].some((name) => options.privileged.some((pattern) => pattern.test(name))),
    notBefore: Date.parse(leaf.validFrom),
    notAfter: Date.parse(leaf.validTo),
  };
}

export function namesOf({ subject, subjectAltName = '' }: X509Certificate): { commonName: string; dnsNames: string[] } {
  return {
    commonName: /(?:^|\n)CN=(.*)/.exec(subject)?.[1] ?? '',
    dnsNames: subjectAltName.split(', ').flatMap((name) => (name.startsWith('DNS:') ? [name.slice(4)] : [])),
  };
}

/** Follows the issuers to a root. @throws WireError */
function buildChain(
  leaf: X509Certificate,
  intermediates: readonly X509Certificate[],
  roots: readonly X509Certificate[],
  now: number,
): void {
  let current = leaf;
  for (let length = 0; length < maxChain; length += 1) {
    const root = roots.find((candidate) => candidate.fingerprint256 === current.fingerprint256 || signed(candidate, current));
    if (root && isValid(root, now)) return;
    const next = intermediates.find(
      (candidate) => candidate !== current && candidate.ca && isValid(candidate, now) && signed(candidate, current),
    );
    if (!next) break;
    current = next;
  }
  throw new WireError(
    'WIRE_CERTIFICATE',
    `the certificate of ${leaf.subject.replaceAll('\n', ', ')} does not come from a trusted authority`,
  );
}

function signed(issuer: X509Certificate, subject: X509Certificate): boolean {
  return subject.checkIssued(issuer) && subject.verify(issuer.publicKey);
}

function isValid(certificate: X509Certificate, now: number): boolean {
  return Date.parse(certificate.validFrom) <= now && now <= Date.parse(certificate.validTo);
}

/** All certificates in a PEM text, in order. */
export function readCertificates(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g) ?? [];
  return blocks.map((block) => new X509Certificate(block));
}

/** Patterns of the configuration; slashes around one are dropped, an invalid one matches nothing. */
export function compilePatterns(sources: readonly string[]): Pattern[] {
  return sources.flatMap((source) => compilePattern(source.replace(/^\/|\/$/g, '')) ?? []);
}
