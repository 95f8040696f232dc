// The client's way to a signer over HTTP, where connections are kept.

import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { expect, test } from 'vitest';
import { HttpSigner } from '../../plugins/aaa-client/signer/over-http.ts';
import type { LoggedIn } from '../../plugins/aaa-client/signer/token.ts';

const loggedIn: LoggedIn = {
  token: 'x',
  callerid: 'up=anna',
  key: generateKeyPairSync('ed25519').privateKey,
  seedFile: '/none',
  claims: {} as LoggedIn['claims'],
};

test('a connection that the service gave up meanwhile is no reason to sign nothing', async () => {
  const used = new Set<Socket>();
  // A service that is late with what it decided: it ends the connection while the next call is on its way.
  const service = createServer(({ socket }, response) => {
    if (used.has(socket)) {
      socket.destroy();
      return;
    }
    used.add(socket);
    const body = JSON.stringify({ secure_request: Buffer.from('signed').toString('base64') });
    response.writeHead(200, { 'content-type': 'application/json' }).end(body);
  });
  await new Promise<void>((resolve) => service.listen(0, '127.0.0.1', resolve));
  const { port } = service.address() as AddressInfo;
  const signer = new HttpSigner([new URL(`http://127.0.0.1:${port}/choria/v1/sign`)], {
    verify: true,
    ca: undefined,
    cert: undefined,
    key: undefined,
  });
  try {
    for (let call = 0; call < 3; call += 1)
      expect(await signer.sign('request', loggedIn, new AbortController().signal)).toBe('signed');
    expect(used.size).toBe(3);
  } finally {
    signer.close();
    service.close();
  }
});
