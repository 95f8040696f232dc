// The least that nodes which enrol themselves can do: a connection without a certificate, an event, five answers of which one is
// signed, a second connection with a certificate, an event.

import { createHash, createPrivateKey, sign, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect } from 'nats';

const [before, after, password, certFile, keyFile, caFile, replyBytes, first, count] = process.argv.slice(2);
const [key, pem] = [createPrivateKey(readFileSync(keyFile)), readFileSync(certFile)];
const reply = Buffer.alloc(Number(replyBytes), 'x');
const options = { timeout: 60_000, reconnect: false };
let next = Number(first);
const last = next + Number(count);

async function enrol(name) {
  const tls = { rejectUnauthorized: false };
  const nats = await connect({ servers: before, user: 'node', pass: password, ...options, tls });
  let asked = 0;
  await new Promise((resolve) => {
    const callback = (_error, message) => {
      asked += 1;
      // The third one asks for a certificate request, the fourth brings the certificate.
      if (asked === 3) sign('sha256', reply, key);
      if (asked === 4) new X509Certificate(pem).checkPrivateKey(key);
      createHash('sha256').update(reply).digest();
      message.respond(reply);
      if (asked === 5) resolve();
    };
    nats.subscribe(`provisioning.node.${name}`, { callback });
    nats.publish('choria.lifecycle.event.startup.provision_mode_server', name);
  });
  await nats.close();
  const fleet = await connect({ servers: after, ...options, tls: { certFile, keyFile, caFile } });
  fleet.publish('choria.lifecycle.event.startup.server', name);
  await fleet.flush();
}

const worker = async () => {
  while (next < last) await enrol(`bare${next++}`);
};
await Promise.all(Array.from({ length: 64 }, worker));
