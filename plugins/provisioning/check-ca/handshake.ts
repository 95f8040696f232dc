// Whether TLS takes a certificate.

import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { connect as connectTls, createServer, type TLSSocket } from 'node:tls';

const handshakeMs = 5_000;

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
