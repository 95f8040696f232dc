// Whether a certificate leads up to a root, and whether TLS thinks so too.

import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { connect as connectTls, createServer, type TLSSocket } from 'node:tls';
import { certificatesIn } from '../../wire/pki/certificate.ts';

const longestChain = 8;
const handshakeMs = 5_000;

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

/** What OpenSSL says against the certificate at either end of a connection; undefined if nothing. */
export async function tryHandshake(
  identity: string,
  files: { cert: string; key: string; ca: string },
): Promise<string | undefined> {
  const server = createServer({ ...files, requestCert: true, rejectUnauthorized: true });
  const refusedClient = new Promise<string>((resolve) => {
    server.once('tlsClientError', (error) => resolve(`as a client: ${error.message}`));
  });
  const accepted = once(server, 'secureConnection').then(() => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const raw = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const socket: TLSSocket = connectTls({ socket: raw, ...files, servername: identity });
  socket.setTimeout(handshakeMs, () => socket.destroy(new Error('the handshake took too long')));
  const refusedServer = new Promise<string>((resolve) => {
    socket.once('error', (error) => resolve(`as a server: ${error.message}`));
  });
  try {
    return await Promise.race([refusedClient, refusedServer, accepted]);
  } finally {
    socket.destroy();
    server.close();
  }
}

function oneLine(subject: string): string {
  return subject.replaceAll('\n', ', ') || '(no subject)';
}
