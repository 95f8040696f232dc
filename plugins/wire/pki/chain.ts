// Whether a certificate leads up to a root.

import { X509Certificate } from 'node:crypto';
import { certificatesIn } from './certificate.ts';

const longestChain = 8;

export interface Chain {
  /** From the certificate to the root. */
  readonly subjects: readonly string[];
  readonly problem: string | undefined;
}

export function followChain(certificate: string, ca: string, now = Date.now()): Chain {
  const [leafPem = '', ...between] = certificatesIn(certificate);
  const trusted = certificatesIn(ca).map((pem) => new X509Certificate(pem));
  const known = [...between.map((pem) => new X509Certificate(pem)), ...trusted];
  const subjects: string[] = [];
  let current = new X509Certificate(leafPem);
  for (let depth = 0; depth < longestChain; depth += 1) {
    subjects.push(oneLine(current.subject));
    const here: X509Certificate = current;
    if (depth > 0 && !here.ca) return { subjects, problem: `${oneLine(here.subject)} signs and is no certificate authority` };
    if (Date.parse(here.validTo) < now) return { subjects, problem: `${oneLine(here.subject)} expired on ${here.validTo}` };
    if (here.checkIssued(here) && here.verify(here.publicKey)) {
      if (trusted.some((root) => root.fingerprint256 === here.fingerprint256)) return { subjects, problem: undefined };
      return { subjects, problem: `the root ${oneLine(here.subject)} is not in \`ca\`` };
    }
    const issuer = known.find((candidate) => here.checkIssued(candidate) && here.verify(candidate.publicKey));
    if (!issuer)
      return { subjects, problem: `nothing in \`ca\` signed ${oneLine(here.subject)}; it was ${oneLine(here.issuer)}` };
    if (Date.parse(here.validTo) > Date.parse(issuer.validTo))
      return {
        subjects,
        problem: `${oneLine(here.subject)} is valid for longer than ${oneLine(issuer.subject)}, which signed it`,
      };
    current = issuer;
  }
  return { subjects, problem: `there are more than ${longestChain} certificates above each other` };
}

/** Certificates that are remembered: authorities, which many nodes share. */
const maxRemembered = 64;

/** Holds many certificates against authorities that are mostly the same. */
export class TrustCheck {
  readonly #known = new Map<string, X509Certificate>();

  /**
   * What stands between a certificate and the trust of whoever has `ca`, as TLS in Go sees it: any certificate in it is
   * trusted, an intermediate too. Undefined if nothing does.
   */
  distrustOf(leaf: X509Certificate, chain: string, ca: string, now = Date.now()): string | undefined {
    const trusted = certificatesIn(ca).map((pem) => this.#read(pem));
    const known = [
      ...trusted,
      ...certificatesIn(chain)
        .slice(1)
        .map((pem) => this.#read(pem)),
    ];
    let current = leaf;
    for (let depth = 0; depth < longestChain; depth += 1) {
      const here: X509Certificate = current;
      if (trusted.some(({ fingerprint256 }) => fingerprint256 === here.fingerprint256)) return undefined;
      const issuer = known.find((candidate) => candidate.ca && here.checkIssued(candidate) && here.verify(candidate.publicKey));
      if (!issuer) return `nothing in \`ca\` signed ${oneLine(here.subject)}; it was ${oneLine(here.issuer)}`;
      if (Date.parse(issuer.validTo) < now) return `${oneLine(issuer.subject)} expired on ${issuer.validTo}`;
      current = issuer;
    }
    return `there are more than ${longestChain} certificates above each other`;
  }

  #read(pem: string): X509Certificate {
    const known = this.#known.get(pem) ?? new X509Certificate(pem);
    if (this.#known.size >= maxRemembered) this.#known.clear();
    this.#known.set(pem, known);
    return known;
  }
}

function oneLine(subject: string): string {
  return subject.replaceAll('\n', ', ') || '(no subject)';
}
