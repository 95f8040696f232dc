// The service agent aaa_signer as Choria's clients call it, several instances beside each other, plugins run in each way, and
// what records show of secret inputs.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { emptyFilter } from '../../plugins/wire/filter.ts';
import { newRequestId, readRpcReply } from '../../plugins/wire/rpc.ts';
import {
  readSecureReply,
  readTransport,
  requestText,
  secureRequestText,
  transportBytes,
} from '../../plugins/wire/v1/messages.ts';
import { runMuster } from '../support/command.ts';
import { Fleet } from '../support/fleet.ts';
import { temporaryFolder } from '../support/folders.ts';
import { SignerService, secureOf, type User } from '../support/signer-service.ts';

const { path: folder, remove } = temporaryFolder();

describe.each([
  ['inline', {}],
  ['persistent', { inlineAs: 'persistent' }],
] as const)('with the plugins of the service run %s', (_name, runner) => {
  let fleet: Fleet;
  let nats: NatsConnection;
  let services: SignerService[] = [];
  let anna: User;

  beforeAll(async () => {
    fleet = await Fleet.start();
    const options = {
      ...runner,
      signer: { choria_service: true },
      settings: { authorizer: 'actionlist' },
      config: { 'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`, collectives: 'mcollective,emea' },
    };
    const first = await SignerService.start(fleet.authority, options);
    services = [first, await SignerService.start(fleet.authority, { ...options, beside: first })];
    for (const service of services) await service.connected();
    nats = await fleet.connection('desk.test');
    anna = await first.user('anna', { agents: ['rpcutil.*'] });
  });
  afterAll(async () => {
    for (const service of services) await service.stop();
    await fleet.stop();
  });

  interface Envelope {
    readonly agent?: string;
    readonly collective?: string;
    readonly replyTo?: string;
    readonly time?: number;
    readonly silent?: boolean;
  }

  /** One call, and all replies to it; `silent` is for those that get none, of which only a while can tell. */
  async function call(body: string, envelope: Envelope = {}) {
    const { agent = 'aaa_signer', collective = 'mcollective', silent = false } = envelope;
    const id = newRequestId();
    const replyTo = envelope.replyTo ?? `${collective}.reply.desk.${id}`;
    const time = envelope.time ?? Math.floor(Date.now() / 1000);
    const caller = 'up=anna';
    const text = requestText({ id, sender: 'desk.test', caller, collective, agent, ttl: 60, time, filter: emptyFilter, body });
    const headers = { replyTo, sender: 'desk.test', seenBy: [] };
    const replies: ReturnType<typeof readRpcReply>[] = [];
    const subscription = nats.subscribe(replyTo, {
      callback: (_error, message) => {
        replies.push(readRpcReply(readSecureReply(readTransport(message.data).data).body));
      },
    });
    nats.publish(
      `${collective}.broadcast.service.aaa_signer`,
      transportBytes(secureRequestText(text, 'insecure', 'insecure'), headers),
    );
    await nats.flush();
    if (silent) await sleep(1_000);
    else await expect.poll(() => replies.length, { timeout: 15_000 }).toBeGreaterThan(0);
    // A second instance would have answered by now.
    await sleep(150);
    subscription.unsubscribe();
    return replies;
  }

  const data = (user: User, plan = {}) => {
    const [first] = services;
    const text = first?.text(plan) ?? '';
    const { token, signature } = first?.call(user, text) ?? {};
    return { request: text, token, signature };
  };
  const sign = (input: object, action = 'sign') => JSON.stringify({ agent: 'aaa_signer', action, data: input });

  test.each(['mcollective', 'emea'])('one of them signs in the collective %s', async (collective) => {
    const replies = await call(sign(data(anna)), { collective });
    expect(replies).toMatchObject([{ statuscode: 0, statusmsg: 'OK', action: 'sign' }]);
    const { secure_request: secure } = (replies[0]?.data ?? {}) as { secure_request: string };
    expect(JSON.parse(JSON.parse(secure).message).envelope.callerid).toBe('up=anna');
  });

  test.each([
    [
      'what no list allows, with the reason',
      () => sign(data(anna, { agent: 'shell' })),
      { secure_request: '', reason: expect.any(String) },
    ],
    ['what nobody signed', () => sign({ ...data(anna), signature: '' }), { secure_request: '' }],
    ['a token that is none', () => sign({ ...data(anna), token: 'x' }), { secure_request: '' }],
    ['what is no request', () => sign({ ...data(anna), request: '{}' }), { secure_request: '' }],
    [
      'a body for another agent',
      () => JSON.stringify({ agent: 'rpcutil', action: 'sign', data: data(anna) }),
      { secure_request: '' },
    ],
  ])('%s is denied in the form that clients of Choria read', async (_what, body, expected) => {
    expect(await call(body())).toEqual([{ action: 'sign', statuscode: 1, statusmsg: 'Request Denied', data: expected }]);
  });

  test('inputs of a wrong type, and other actions, are told of', async () => {
    expect(await call(sign({ ...data(anna), token: 5 }))).toMatchObject([
      { statuscode: 4, statusmsg: 'token must be a string', data: {} },
    ]);
    expect(await call(sign(data(anna), 'unsign'))).toMatchObject([{ statuscode: 2 }]);
  });

  test('calls that are old, for others, or want their answer where none belongs, are not answered', async () => {
    expect(await call(sign(data(anna)), { silent: true, time: Math.floor(Date.now() / 1000) - 120 })).toEqual([]);
    expect(await call(sign(data(anna)), { silent: true, agent: 'rpcutil' })).toEqual([]);
    expect(await call(sign(data(anna)), { silent: true, replyTo: 'mcollective.node.web1' })).toEqual([]);
  });

  test('one instance signs on while the other is gone', async () => {
    await services.pop()?.stop();
    for (let n = 0; n < 5; n += 1) expect(await call(sign(data(anna)))).toMatchObject([{ statuscode: 0 }]);
  });
});

test('secret inputs are in no record, whatever becomes of the request, and records are found again', async () => {
  const fleet = await Fleet.start();
  const libdir = join(folder, 'lib');
  mkdirSync(join(libdir, 'mcollective/agent'), { recursive: true });
  const ddl = {
    metadata: { name: 'vault', description: 'x', author: 'x', license: 'x', version: '1.0.0', url: 'https://x.test', timeout: 5 },
    actions: [
      {
        action: 'put',
        description: 'x',
        display: 'always',
        input: {
          name: { prompt: 'x', description: 'x', type: 'string', optional: false, validation: '.', maxlength: 9 },
          value: {
            prompt: 'x',
            description: 'x',
            type: 'string',
            optional: false,
            validation: '.',
            maxlength: 99,
            sensitive: true,
          },
        },
        output: {},
      },
    ],
  };
  writeFileSync(join(libdir, 'mcollective/agent/vault.json'), JSON.stringify(ddl));
  const service = await SignerService.start(fleet.authority, { config: { libdir } });
  try {
    const anna = await service.user('anna', { agents: ['vault.put'] });
    const secret = 'canary-77aa';
    const plan = { agent: 'vault', action: 'put', data: { name: 'a', value: secret } };
    const { message } = secureOf(await service.sign(anna, plan));
    expect(message).toContain(secret);
    const bert = await service.user('bert', { agents: [] });
    await service.sign(bert, plan);
    await service.sign(anna, { ...plan, body: JSON.stringify({ agent: 'other', action: 'put', data: plan.data }) });
    await service.sign(anna, { ...plan, body: JSON.stringify({ agent: 'vault', action: 'put', Data: { VALUE: secret } }) });
    const log = join(service.folder, 'audit.log');
    const lines = readFileSync(log, 'utf8').trim().split('\n');
    expect(lines.map((line) => JSON.parse(line).action)).toEqual(['allow', 'deny', 'deny', 'deny']);
    expect(lines.join()).not.toContain(secret);
    expect(JSON.parse(JSON.parse(lines[0] ?? '').request.message).data).toEqual({ name: 'a', value: '(masked)' });
    expect(JSON.stringify(service.host?.log)).not.toContain(secret);

    const search = async (...args: string[]) =>
      JSON.parse((await runMuster(['audit', 'search', log, '--json', ...args])).out).records;
    expect(await search()).toHaveLength(4);
    expect(await search('--user', 'bert')).toMatchObject([
      { caller: 'up=bert', decision: 'deny', agent: 'vault', action: 'put' },
    ]);
    expect(await search('--action', 'allow', '--agent', 'vault.put', '--since', '1h')).toHaveLength(1);
    expect(await search('--until', '1h')).toHaveLength(0);
    expect(await search('--node', 'desk.test')).toHaveLength(4);
    const wrong = await runMuster(['audit', 'search', log, '--action', 'shell.run']);
    expect(wrong).toMatchObject({ code: 1, err: expect.stringContaining('--action takes allow or deny') });
  } finally {
    await service.stop();
    await fleet.stop();
    remove();
  }
});
