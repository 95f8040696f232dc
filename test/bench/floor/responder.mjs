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
  if (!keys.has(pem) && !new X509Certificate(pem).verify(ca.publicKey)) throw new Error('a stranger');
  if (!keys.has(pem)) keys.set(pem, createPublicKey(pem));
  return keys.get(pem);
}

nats.subscribe(`mcollective.node.${identity}`, {
  callback: (_error, { data }) => {
    const { data: inner, headers } = JSON.parse(Buffer.from(data).toString());
    const { message, signature, pubcert } = JSON.parse(Buffer.from(inner, 'base64').toString());
    if (!verify('sha256', Buffer.from(message), keyOf(pubcert), Buffer.from(signature, 'base64'))) return;
    const { message: body, envelope } = JSON.parse(message);
    const time = Math.floor(Date.now() / 1000);
    const answer = { action: JSON.parse(body).action, statuscode: 0, statusmsg: 'OK', data: { pong: time } };
    const about = { requestid: envelope.requestid, senderid: identity, agent: envelope.agent, time };
    const reply = JSON.stringify({ protocol: 'choria:reply:1', message: JSON.stringify(answer), envelope: about });
    const hash = createHash('sha256').update(reply).digest('base64');
    const secure = Buffer.from(JSON.stringify({ protocol: 'choria:secure:reply:1', message: reply, hash })).toString('base64');
    const transport = { protocol: 'choria:transport:1', data: secure, headers: { mc_sender: identity } };
    nats.publish(headers['reply-to'], JSON.stringify(transport));
  },
});
await nats.flush();
process.stdout.write('ready\n');
