// The least that a node can do for a request: a NATS subscription, the envelope opened and its signature verified with a
// cached key, a reply made and sealed.

import { createHash, createPublicKey, verify, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { connect } from 'nats';

const [port, certFile, keyFile, caFile, identity] = process.argv.slice(2);
const ca = new X509Certificate(readFileSync(caFile));
const keys = new Map();
const nats = await connect({ servers: `nats://127.0.0.1:${port}`, tls: { certFile, keyFile, caFile } });

function keyOf(pem) {
  if (!keys.has(pem)) {
    const certificate = new X509Certificate(pem);
    if (!certificate.verify(ca.publicKey)) throw new Error('a stranger');
    keys.set(pem, createPublicKey(pem));
  }
  return keys.get(pem);
}

nats.subscribe(`mcollective.node.${identity}`, {
  callback: (_error, { data }) => {
    const { data: inner, headers } = JSON.parse(Buffer.from(data).toString());
    const { message, signature, pubcert } = JSON.parse(Buffer.from(inner, 'base64').toString());
    if (!verify('sha256', Buffer.from(message), keyOf(pubcert), Buffer.from(signature, 'base64'))) return;
    const { message: body, envelope } = JSON.parse(message);
    const { action } = JSON.parse(body);
    const answer = JSON.stringify({ action, statuscode: 0, statusmsg: 'OK', data: { pong: Math.floor(Date.now() / 1000) } });
    const reply = JSON.stringify({
      protocol: 'choria:reply:1',
      message: answer,
      envelope: { requestid: envelope.requestid, senderid: identity, agent: envelope.agent, time: Math.floor(Date.now() / 1000) },
    });
    const secure = JSON.stringify({
      protocol: 'choria:secure:reply:1',
      message: reply,
      hash: createHash('sha256').update(reply).digest('base64'),
    });
    nats.publish(
      headers['reply-to'],
      JSON.stringify({
        protocol: 'choria:transport:1',
        data: Buffer.from(secure).toString('base64'),
        headers: { mc_sender: identity },
      }),
    );
  },
});
await nats.flush();
process.stdout.write('ready\n');
