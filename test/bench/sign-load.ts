// Clients of a signer or of a login, in a process of their own: requests that were made before, so many under way, and how long each took.
// Told by one line of JSON what to do; answers each such line with the times in milliseconds.

import { generateKeyPairSync, sign } from 'node:crypto';
import { createInterface } from 'node:readline';
import { connect } from 'nats';
import { emptyFilter } from '../../plugins/wire/filter.ts';
import { newRequestId } from '../../plugins/wire/rpc.ts';
import { replySubject, serviceSubject } from '../../plugins/wire/subjects.ts';
import { keyFromSeed, publicHex } from '../../plugins/wire/tokens/ed25519.ts';
import { requestText, secureRequestText, transportBytes } from '../../plugins/wire/v1/messages.ts';
import { HttpClient } from './http-client.ts';

export interface Load {
  readonly count: number;
  readonly clients: number;
  readonly token: string;
  readonly seed: string;
  /** Port of the HTTP interface. */
  readonly port: number;
  /** Over NATS in place of HTTP. */
  readonly nats?: {
    readonly port: number;
    readonly collective: string;
    readonly cert: string;
    readonly key: string;
    readonly ca: string;
  };
  /** Logins in place of signatures: user0 and so on. */
  readonly login?: { readonly user: string; readonly password: string };
}

export interface LoadResult {
  readonly seconds: number;
  readonly ms: readonly number[];
  readonly refused: number;
}

const caller = 'up=bench';

/** The text of a request as an operator's client makes it. */
function textOf(): string {
  return requestText({
    id: newRequestId(),
    sender: 'bench.test',
    caller,
    collective: 'mcollective',
    agent: 'webstack',
    ttl: 60,
    time: Math.floor(Date.now() / 1000),
    filter: { ...emptyFilter, fact: [{ fact: 'country', operator: '==', value: 'mt' }] },
    body: JSON.stringify({ agent: 'webstack', action: 'rollout', data: { tier: 'edge', count: 3 } }),
  });
}

type Ask = (index: number, client: number) => Promise<boolean>;

interface Way {
  readonly ask: Ask;
  readonly close: () => void;
}

interface SignedText {
  readonly text: string;
  readonly signature: string;
}

/** Bodies to one path; what is wanted is a member of the answer. */
async function overHttp({ port, clients }: Load, path: string, bodies: readonly string[], wanted: string): Promise<Way> {
  const calls = bodies.map((body) =>
    Buffer.from(
      [
        `POST ${path} HTTP/1.1`,
        `host: 127.0.0.1:${port}`,
        'content-type: application/json',
        `content-length: ${Buffer.byteLength(body)}`,
        '',
        body,
      ].join('\r\n'),
    ),
  );
  const open = await Promise.all(Array.from({ length: clients }, () => HttpClient.open(port)));
  const ask: Ask = async (index, client) => {
    const [call, connection] = [calls[index], open[client]];
    if (!call || !connection) throw new Error('no such call or client');
    return (await connection.call(call)).includes(`"${wanted}"`);
  };
  const close = () => {
    for (const client of open) client.close();
  };
  return { ask, close };
}

async function overNats(
  load: Load,
  { port, collective, ...files }: NonNullable<Load['nats']>,
  texts: readonly SignedText[],
): Promise<Way> {
  const connection = await connect({
    servers: `nats://127.0.0.1:${port}`,
    tls: { certFile: files.cert, keyFile: files.key, caFile: files.ca },
  });
  const waiting = new Map<string, (signed: boolean) => void>();
  const messages = texts.map(({ text, signature }) => {
    const id = newRequestId();
    const body = JSON.stringify({ agent: 'aaa_signer', action: 'sign', data: { request: text, token: load.token, signature } });
    const message = requestText({
      id,
      sender: 'bench.test',
      caller,
      collective,
      agent: 'aaa_signer',
      ttl: 60,
      time: Math.floor(Date.now() / 1000),
      filter: emptyFilter,
      body,
    });
    const replyTo = replySubject(collective, caller, id);
    const headers = { replyTo, sender: 'bench.test', seenBy: [] };
    return { replyTo, payload: transportBytes(secureRequestText(message, 'insecure', 'insecure'), headers) };
  });
  connection.subscribe(replySubject(collective, caller, '*'), {
    callback: (_error, message) => {
      waiting.get(message.subject)?.(statusOf(message.string()) === 0);
      waiting.delete(message.subject);
    },
  });
  const ask: Ask = (index) =>
    new Promise((resolve) => {
      const message = messages[index];
      if (!message) throw new Error('no such message');
      waiting.set(message.replyTo, resolve);
      connection.publish(serviceSubject(collective, 'aaa_signer'), message.payload);
    });
  return { ask, close: () => void connection.close() };
}

/** From the reply in the secure reply in the transport. They are not held against their schemas: what is measured is the other side. */
function statusOf(text: string): unknown {
  const { data } = JSON.parse(text) as { data: string };
  const secure = JSON.parse(Buffer.from(data, 'base64').toString('utf8')) as { message: string };
  const reply = JSON.parse(secure.message) as { message: string };
  return (JSON.parse(reply.message) as { statuscode?: unknown }).statuscode;
}

async function wayOf(load: Load): Promise<Way> {
  if (load.login) return overHttp(load, '/choria/v1/login', loginBodies(load.count, load.login), 'token');
  const key = keyFromSeed(load.seed);
  const texts = Array.from({ length: load.count }, () => {
    const text = textOf();
    return { text, signature: sign(null, Buffer.from(text), key).toString('hex') };
  });
  if (load.nats) return overNats(load, load.nats, texts);
  const bodies = texts.map(({ text, signature }) =>
    JSON.stringify({ token: load.token, request: Buffer.from(text).toString('base64'), signature }),
  );
  return overHttp(load, '/choria/v1/sign', bodies, 'secure_request');
}

function loginBodies(count: number, { user, password }: NonNullable<Load['login']>): string[] {
  return Array.from({ length: count }, (_, index) => {
    const username = `${user}${index}`;
    const { privateKey } = generateKeyPairSync('ed25519');
    const timestamp = String(Math.floor(Date.now() / 1000));
    const signature = sign(null, Buffer.from(`${timestamp}:${username}:${password}`), privateKey).toString('hex');
    return JSON.stringify({ username, password, timestamp, public_key: publicHex(privateKey), signature });
  });
}

async function run(load: Load): Promise<LoadResult> {
  const { ask, close } = await wayOf(load);
  const ms: number[] = [];
  let next = 0;
  let refused = 0;
  const client = async (number: number) => {
    while (next < load.count) {
      const index = next++;
      const begun = performance.now();
      if (!(await ask(index, number))) refused += 1;
      ms.push(performance.now() - begun);
    }
  };
  const begun = performance.now();
  await Promise.all(Array.from({ length: load.clients }, (_, number) => client(number)));
  const seconds = (performance.now() - begun) / 1000;
  close();
  return { seconds, ms, refused };
}

for await (const line of createInterface({ input: process.stdin })) {
  const result = await run(JSON.parse(line) as Load);
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
