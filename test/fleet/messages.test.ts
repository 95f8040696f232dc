// Messages that nobody should have sent. Each is dropped with one clear line in the log, and the next one is answered.

import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { issueFiles, openAuthority } from '../../plugins/overlay/ca.ts';
import { emptyFilter } from '../../plugins/wire/filter.ts';
import { readRpcReply } from '../../plugins/wire/rpc.ts';
import { readSecureReply, readTransport, transportBytes } from '../../plugins/wire/v1/messages.ts';
import { Fleet } from '../support/fleet.ts';
import { temporaryFolder, until } from '../support/folders.ts';
import type { TestHost } from '../support/hosts.ts';
import { type Crafted, Crafter } from '../support/messages.ts';

const now = () => Math.floor(Date.now() / 1000);
const subject = 'mcollective.node.target.test';

let fleet: Fleet;
let node: TestHost;
let nats: NatsConnection;
let crafter: Crafter;

beforeAll(async () => {
  fleet = await Fleet.start();
  node = await fleet.node('target.test', { facts: { site: 'here' } });
  nats = await fleet.connection();
  crafter = await Crafter.of(fleet.authority, 'crafter.mcollective');
});
afterAll(() => fleet.stop());
beforeEach(() => node.log.splice(0));

/** What comes back on a reply subject within a time; undefined if nothing does. */
async function replyTo({ replyTo: to, payload }: Crafted, { on = subject, waitMs = 20_000 } = {}) {
  const subscription = nats.subscribe(to, { max: 1 });
  nats.publish(on, payload);
  const timer = setTimeout(() => subscription.unsubscribe(), waitMs);
  for await (const message of subscription) {
    clearTimeout(timer);
    const { data, headers } = readTransport(message.data);
    const reply = readSecureReply(data);
    return { ...reply, headers, rpc: reply.body === 'pong' ? undefined : readRpcReply(reply.body) };
  }
  return undefined;
}

/** Nothing is answered, one line says why, and a good request is answered at once. */
async function expectDropped(message: Crafted | Uint8Array, reason: RegExp): Promise<void> {
  const crafted = message instanceof Uint8Array ? { id: 'x', replyTo: 'mcollective.reply.x.x', payload: message } : message;
  const answer = replyTo(crafted, { waitMs: 300 });
  const said = await until(`the log says ${reason}`, () => node.log.find((line) => reason.test(line.message)));
  expect(['warn', 'debug']).toContain(said.level);
  expect(await answer).toBeUndefined();
  expect(node.log.filter((line) => ['warn', 'error'].includes(line.level))).toHaveLength(said.level === 'warn' ? 1 : 0);
  expect((await replyTo(crafter.request()))?.rpc?.statuscode).toBe(0);
}

describe('a message that is dropped', () => {
  test('is truncated', async () => {
    const { payload } = crafter.request();
    await expectDropped(payload.subarray(0, payload.length - 40), /the transport is not JSON, or was cut off/);
  });

  test('is not JSON', () => expectDropped(Buffer.from('hello'), /the transport is not JSON/));

  test('is of another version', async () => {
    const payload = Buffer.from(JSON.stringify({ protocol: 'choria:transport:9', data: '', headers: {} }));
    await expectDropped(payload, /of protocol "choria:transport:9"; this node reads choria:transport:1/);
  });

  test('lacks a field', async () => {
    const payload = transportBytes(JSON.stringify({ protocol: 'choria:secure:request:1', message: '{}' }), {
      replyTo: 'a.reply.b',
      sender: 'x',
      seenBy: [],
    });
    await expectDropped(payload, /secure request does not fit its schema/);
  });

  test('is unsigned', () =>
    expectDropped(crafter.request({ signature: 'insecure', certificate: 'insecure' }), /the request is not signed/));

  test('is signed by a certificate of a stranger', async () => {
    const { path, remove } = temporaryFolder();
    const stranger = await Crafter.of(await openAuthority(path, 'Another CA'), 'crafter.mcollective');
    await expectDropped(stranger.request(), /certificate/i);
    remove();
  });

  test('is signed by a certificate that has expired', async () => {
    const { cert } = await issueFiles(
      fleet.authority,
      { commonName: 'old.mcollective', days: -1 },
      join(fleet.folder, 'expired'),
    );
    await expectDropped(
      crafter.request({ certificate: readFileSync(cert, 'utf8'), caller: 'choria=old.mcollective' }),
      /expired/,
    );
  });

  test('is signed in the name of somebody else', () =>
    expectDropped(crafter.request({ caller: 'choria=boss.mcollective' }), /boss\.mcollective/));

  test('was altered after it was signed', () =>
    expectDropped(
      crafter.request({ tamper: (text) => text.replace('ping', 'pong') }),
      /does not belong to this request; it was altered/,
    ));

  test('has expired', () => expectDropped(crafter.request({ time: now() - 120 }), /it was made 12\d s ago and lives for 60 s/));

  test('is from the future', () => expectDropped(crafter.request({ time: now() + 120 }), /lives for 60 s/));

  test('is for a collective that the node is no member of', () =>
    expectDropped(crafter.request({ collective: 'elsewhere' }), /no member of the collective elsewhere/));

  test('wants its reply where none may go', () =>
    expectDropped(crafter.request({ replyTo: 'choria.lifecycle.event.startup.server' }), /a reply may not go to/));

  test('is replayed: the very same bytes are answered once', async () => {
    const request = crafter.request();
    expect((await replyTo(request))?.rpc?.statuscode).toBe(0);
    await expectDropped(request, /the same signed message came before/);
  });
});

describe('a message that is answered with a reason', () => {
  test('whose body and envelope disagree on the agent', async () => {
    const reply = await replyTo(crafter.request({ body: JSON.stringify({ agent: 'host', action: 'load', data: {} }) }));
    expect(reply?.rpc).toMatchObject({ statuscode: 1, statusmsg: expect.stringContaining('both must be the same') });
  });

  test('whose body is no RPC request', async () => {
    const reply = await replyTo(crafter.request({ body: 'neither JSON nor base64' }));
    expect(reply?.rpc).toMatchObject({ statuscode: 4, statusmsg: expect.stringContaining('could not parse incoming message') });
  });

  test('whose reply would be over the limit of the broker', async () => {
    const facts = node.host.options.config.values.get('plugin.yaml') as readonly string[];
    const { writeFileSync } = await import('node:fs');
    writeFileSync(facts[0] ?? '', JSON.stringify({ site: 'here', large: 'x'.repeat(2 * 1024 * 1024) }));
    const large = async () => (await replyTo(crafter.request({ action: 'get_fact', data: { fact: 'large' } })))?.rpc;
    const reply = await until('the reply is refused as too large', async () => {
      const answer = await large();
      return answer?.statuscode === 1 ? answer : undefined;
    });
    expect(reply.statusmsg).toMatch(/The reply is too large: the message has \d+ bytes, the broker accepts 1048576/);
    writeFileSync(facts[0] ?? '', JSON.stringify({ site: 'here' }));
  });

  test('that is a retry, signed anew: the first answer is given again, and nothing done twice', async () => {
    const id = 'a'.repeat(32);
    const first = await replyTo(crafter.request({ id, time: now() - 2 }));
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    const second = await replyTo(crafter.request({ id, time: now() }));
    expect(second?.body).toBe(first?.body);
  });
});

describe('the certificate that signs', () => {
  test('has to have a name on the allow list', async () => {
    await expectDropped((await Crafter.of(fleet.authority, 'plain.test')).request(), /plain\.test/);
  });

  test('may sign for others if it is privileged', async () => {
    const signer = await Crafter.of(fleet.authority, 'signer.privileged.mcollective');
    expect((await replyTo(signer.request({ caller: 'choria=boss.mcollective' })))?.rpc?.statuscode).toBe(0);
  });
});

test('2 MiB are refused by the broker, and the node does not notice', async () => {
  const files = await issueFiles(fleet.authority, { commonName: 'raw.test' });
  const [cert, key, ca] = [files.cert, files.key, files.ca].map((file) => readFileSync(file));
  const { createConnection } = await import('node:net');
  const plain = createConnection(fleet.port, '127.0.0.1');
  await once(plain, 'data');
  const socket = connectTls({ socket: plain, cert, key, ca, checkServerIdentity: () => undefined });
  await once(socket, 'secureConnect');
  let refused = false;
  socket.on('close', () => {
    refused = true;
  });
  // What is not read never ends.
  socket.resume();
  socket.on('error', () => undefined);
  socket.write(`CONNECT {"verbose":false}\r\nPUB ${subject} ${2 * 1024 * 1024}\r\n`);
  socket.write(Buffer.alloc(2 * 1024 * 1024));
  await until('the broker hangs up', () => refused);
  socket.destroy();
  expect((await replyTo(crafter.request()))?.rpc?.statuscode).toBe(0);
});

test('federation headers of a request stand on its reply', async () => {
  const federation = { req: 'f'.repeat(32), 'reply-to': 'choria.federation.south.collective', target: ['north'] };
  const reply = await replyTo(crafter.request({ federation }));
  expect(reply?.headers.federation).toEqual(federation);
});

test('a discovery request is answered with pong and the name of the node', async () => {
  const request = crafter.request({
    agent: 'discovery',
    body: 'cGluZw==',
    filter: { ...emptyFilter, fact: [{ fact: 'site', operator: '==', value: 'here' }] },
  });
  const reply = await replyTo(request, { on: 'mcollective.broadcast.agent.discovery' });
  expect(reply).toMatchObject({ id: request.id, sender: 'target.test', agent: 'discovery', body: 'pong' });
  expect(reply?.headers.sender).toBe('target.test');
});
