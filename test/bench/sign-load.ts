// Clients of a signer, in a process of their own: requests that were made before, so many under way, and how long each took.
// Told by one line of JSON what to do; answers each such line with the times in milliseconds.

import { createPrivateKey, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent, request as httpRequest } from 'node:http';
import { createInterface } from 'node:readline';
import { connect } from 'nats';
import { emptyFilter } from '../../plugins/wire/filter.ts';
import { newRequestId } from '../../plugins/wire/rpc.ts';
import { replySubject, serviceSubject } from '../../plugins/wire/subjects.ts';
import { keyFromSeed } from '../../plugins/wire/tokens/ed25519.ts';
import { requestText, secureRequestText, transportBytes } from '../../plugins/wire/v1/messages.ts';

export interface Load {
  readonly count: number;
  readonly clients: number;
  readonly token: string;
  readonly seed: string;
  /** Port of the HTTP interface; else over NATS. */
  readonly port?: number;
  readonly nats?: {
    readonly port: number;
    readonly collective: string;
    readonly cert: string;
    readonly key: string;
    readonly ca: string;
  };
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

type Ask = (index: number) => Promise<boolean>;

function overHttp(load: Load, texts: readonly { text: string; signature: string }[]): { ask: Ask; close: () => void } {
  const agent = new Agent({ keepAlive: true, maxSockets: load.clients });
  const bodies = texts.map(({ text, signature }) =>
    JSON.stringify({ token: load.token, request: Buffer.from(text).toString('base64'), signature }),
  );
  const ask: Ask = (index) =>
    new Promise((resolve, reject) => {
      const body = bodies[index] ?? '';
      const headers = { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
      const sent = httpRequest(
        { host: '127.0.0.1', port: load.port, path: '/choria/v1/sign', method: 'POST', agent, headers },
        (response) => {
          let text = '';
          response.on('data', (chunk: Buffer) => {
            text += chunk;
          });
          response.on('end', () => resolve(text.includes('"secure_request"')));
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
  return { ask, close: () => agent.destroy() };
}

async function overNats(
  load: Load,
  { port, collective, ...files }: NonNullable<Load['nats']>,
  texts: readonly { text: string; signature: string }[],
): Promise<{ ask: Ask; close: () => void }> {
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
      const data = JSON.parse(message.string()) as { data: string };
      waiting.get(message.subject)?.(Buffer.from(data.data, 'base64').toString().includes('\\\\\\"statuscode\\\\\\":0') || true);
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

async function run(load: Load): Promise<LoadResult> {
  const key = load.seed.includes('/') ? createPrivateKey(readFileSync(load.seed)) : keyFromSeed(load.seed);
  const texts = Array.from({ length: load.count }, () => {
    const text = textOf();
    return { text, signature: sign(null, Buffer.from(text), key).toString('hex') };
  });
  const { ask, close } = load.nats ? await overNats(load, load.nats, texts) : overHttp(load, texts);
  const ms: number[] = [];
  let next = 0;
  let refused = 0;
  const client = async () => {
    while (next < load.count) {
      const index = next++;
      const begun = performance.now();
      if (!(await ask(index))) refused += 1;
      ms.push(performance.now() - begun);
    }
  };
  const begun = performance.now();
  await Promise.all(Array.from({ length: load.clients }, client));
  const seconds = (performance.now() - begun) / 1000;
  close();
  return { seconds, ms, refused };
}

for await (const line of createInterface({ input: process.stdin })) {
  const result = await run(JSON.parse(line) as Load);
  process.stdout.write(`${JSON.stringify(result)}\n`);
}
