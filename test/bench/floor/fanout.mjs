// The least that many nodes can do: a connection each, one request for all of them, its signature verified, a reply hashed
// and sent. Prints `ready` when all are connected.

import { createHash, createPublicKey, verify } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect } from 'nats';

const [servers, certFile, keyFile, caFile, first, count, replyBytes] = process.argv.slice(2);
const key = createPublicKey(readFileSync(certFile));
const reply = Buffer.alloc(Number(replyBytes), 'x');
const atOnce = 24;
let next = Number(first);

async function worker() {
  while (next < Number(first) + Number(count)) {
    const name = `bare${next++}`;
    const tls = { certFile, keyFile, caFile };
    const nats = await connect({ servers: servers.split(','), tls, timeout: 60_000 });
    const callback = (_error, message) => {
      // The signature is in front, its length in the first two bytes; what was signed follows.
      const { data } = message;
      const length = data[0] * 256 + data[1];
      if (!verify('sha256', data.subarray(2 + length), key, data.subarray(2, 2 + length))) return;
      createHash('sha256').update(reply).digest();
      message.respond(reply);
    };
    nats.subscribe('bare.all', { callback });
    nats.subscribe(`bare.node.${name}`, { callback });
    await nats.flush();
  }
}

await Promise.all(Array.from({ length: atOnce }, worker));
process.stdout.write('ready\n');
