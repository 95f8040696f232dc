// Nodes that enrol themselves and are hardly more than their messages: a connection each, a key that was made before, answers as
// Choria's nodes give them, and a second connection, with a certificate, when they restart. Run as a program by the benchmark.

import { readFileSync } from 'node:fs';
import { connect } from 'nats';
import { lifecycleEvent, lifecycleSubject } from '../../plugins/wire/lifecycle.ts';
import { sharedKeys, WaitingNode } from '../support/waiting-node.ts';

const [before = '', after = '', password = '', tokenFile = '', cert = '', key = '', ca = '', first = '', count = ''] =
  process.argv.slice(2);
/** Connections that are being made at the same time. */
const atOnce = 64;
const options = { timeout: 60_000, reconnect: false };
const token = readFileSync(tokenFile, 'utf8');
const keys = sharedKeys();
let next = Number(first);
const last = next + Number(count);

async function enrol(identity: string): Promise<void> {
  const nats = await connect({ servers: before, user: 'node', pass: password, ...options, tls: { rejectUnauthorized: false } });
  const node = new WaitingNode(nats, {
    identity,
    token,
    keys,
    onRestart: () => void nats.close().then(() => comeUp(identity)),
  });
  await node.start();
}

async function comeUp(identity: string): Promise<void> {
  const fleet = await connect({ servers: after, ...options, tls: { certFile: cert, keyFile: key, caFile: ca } });
  const event = lifecycleEvent('startup', { identity, component: 'server', version: '0.29.4', now: new Date() });
  fleet.publish(lifecycleSubject('startup', 'server'), JSON.stringify(event));
  await fleet.flush();
}

async function worker(): Promise<void> {
  while (next < last) {
    const number = next;
    next += 1;
    await enrol(`light-${number}`);
  }
}

await Promise.all(Array.from({ length: atOnce }, worker));
