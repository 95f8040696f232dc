// The signer: what it signs, what it refuses, and what others see of it.

import { createHmac, sign as cryptoSign, generateKeyPairSync, verify, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readInner, withCaller } from '../../plugins/aaa/sign/request.ts';
import { makeClientToken } from '../../plugins/wire/tokens/client.ts';
import { keyFromSeed, publicHex, signHex } from '../../plugins/wire/tokens/ed25519.ts';
import { signToken } from '../../plugins/wire/tokens/jwt.ts';
import { Fleet } from '../support/fleet.ts';
import { SignerService, secureOf, send, type User } from '../support/signer-service.ts';

interface Shape {
  readonly id: string;
  readonly title: string;
  readonly envelope_agent?: string;
  readonly envelope_collective?: string;
  readonly body_agent?: string | null;
  readonly body_action?: string | null;
  readonly body_text?: string;
  readonly body_extra?: object;
  readonly agents?: readonly string[];
  readonly opa_policy?: string;
  readonly protocol?: string;
  readonly request_time_offset_seconds?: number;
  readonly ttl?: number;
  readonly expect: { readonly sign: boolean };
}

interface Vectors {
  readonly request_shape: readonly Shape[];
  readonly caller_rewrite: readonly {
    readonly id: string;
    readonly claim: string;
    readonly expect: { readonly caller?: string };
  }[];
  readonly sign_signature: readonly {
    readonly seed: string;
    readonly request_text: string;
    readonly request_base64: string;
    readonly signature: string;
  }[];
}

const vectorFile = '../shared/reference/vectors/aaa.json';
const vectors: Vectors | undefined = existsSync(vectorFile) ? JSON.parse(readFileSync(vectorFile, 'utf8')) : undefined;

let fleet: Fleet;
let service: SignerService;
let anna: User;

beforeAll(async () => {
  fleet = await Fleet.start();
  service = await SignerService.start(fleet.authority);
  anna = await service.user('anna', { agents: ['rpcutil.*', 'webstack.*'] });
});
afterAll(async () => {
  await service.stop();
  await fleet.stop();
});

const refused = { status: 200, body: { error: 'Request denied' } };
const records = () =>
  readFileSync(join(service.folder, 'audit.log'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
const inHex = (text: string, user: User) => cryptoSign(null, Buffer.from(text), user.key).toString('hex');
const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
const whyRefused = () => service.host?.log.filter(({ message }) => message.startsWith('refused')).at(-1)?.message;

describe('a request of a user', () => {
  test('is signed with the certificate of the service, for the caller of the token', async () => {
    const { message, signature, pubcert } = secureOf(await service.sign(anna, { caller: 'choria=somebody.mcollective' }));
    const certificate = new X509Certificate(pubcert);
    expect(certificate.subject).toBe('CN=signer.privileged.mcollective');
    expect(verify('sha256', Buffer.from(message), certificate.publicKey, Buffer.from(signature, 'base64'))).toBe(true);
    expect(JSON.parse(message).envelope).toMatchObject({ callerid: 'up=anna', agent: 'rpcutil', ttl: 60, senderid: 'desk.test' });
  });

  test('comes out with its body and filter as they were, and with nothing that nobody looked at', async () => {
    const filter = {
      fact: [{ fact: 'os', operator: '==', value: 'x' }],
      cf_class: ['a'],
      agent: ['rpcutil'],
      identity: ['n1'],
      compound: [],
    };
    const text = service.text({ filter, data: { ä: '</script> %s' } });
    const { envelope, ...rest } = JSON.parse(text);
    const padded = JSON.stringify({
      ...rest,
      Message: 'other',
      envelope: { ...envelope, Agent: 'shell', Filter: {} },
      Envelope: {},
    });
    const { message } = secureOf(await service.sign(anna, padded));
    expect(JSON.parse(message)).toEqual(JSON.parse(text));
  });

  test('is recorded before the answer, with the caller that was signed for', async () => {
    const text = service.text({ caller: 'up=other' });
    const { message } = secureOf(await service.sign(anna, text));
    const { time, ...record } = records().at(-1);
    expect(record).toEqual({
      protocol: 'io.choria.signer.v1.signature_audit',
      callerid: 'up=anna',
      action: 'allow',
      site: 'mla1',
      request: JSON.parse(message),
    });
    expect(Math.abs(time - Date.now() / 1000)).toBeLessThan(5);
  });

  test('may have one key in several of its inputs', async () => {
    secureOf(
      await service.sign(anna, { data: { a: { x: 1, X: 2 }, b: { x: 1 }, x: [{ x: 1 }, { x: 2 }], data: 1, agent: 'y' } }),
    );
  });

  test('that no list allows is denied, with the reason for its user, and recorded', async () => {
    const answer = await service.sign(anna, { agent: 'shell', action: 'run' });
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({ error: 'Request denied', reason: 'Your list does not have shell.run.' });
    expect(records().at(-1)).toMatchObject({ action: 'deny', callerid: 'up=anna' });
  });

  test('is decided by the caller, claims, filter, sender, time and site', async () => {
    const seen: Record<string, unknown>[] = [];
    (globalThis as { __authorized?: object[] }).__authorized = seen;
    await service.sign(anna, { collective: 'emea', ttl: 45, data: { tier: 'edge' } });
    expect(seen).toMatchObject([
      {
        agent: 'rpcutil',
        action: 'ping',
        caller: 'up=anna',
        collective: 'emea',
        sender: 'desk.test',
        ttl: 45,
        site: 'mla1',
        data: { tier: 'edge' },
        claims: { callerid: 'up=anna', agents: ['rpcutil.*', 'webstack.*'] },
        filter: { fact: [], identity: [] },
      },
    ]);
  });

  test('to discover is signed whatever the list says, and for a day', async () => {
    const nobody = await service.user('nobody', { agents: [] });
    secureOf(await service.sign(nobody, { agent: 'discovery', body: 'cGluZw==', ttl: 86_400 }));
    expect(JSON.parse(secureOf(await service.sign(nobody, { agent: 'discovery', body: 'cGluZw==' })).message).message).toBe(
      'cGluZw==',
    );
  });
});

describe('a request is refused', () => {
  test('that was signed before', async () => {
    const text = service.text();
    secureOf(await service.sign(anna, text));
    expect(await service.sign(anna, text)).toMatchObject(refused);
    expect(whyRefused()).toContain('signed before');
  });

  test.each([
    ['that was changed after its user signed it', (text: string) => text.replace('rpcutil', 'rpcutiL')],
    ['whose filter was removed', (text: string) => text.replace('"identity":["n1"]', '"identity":[]')],
  ])('%s', async (_what, change) => {
    const text = service.text({ filter: { fact: [], cf_class: [], identity: ['n1'], compound: [] } });
    const answer = await service.sign(anna, text, { request: Buffer.from(change(text)).toString('base64') });
    expect(answer).toMatchObject(refused);
    expect(whyRefused()).toContain('it was altered, or signed with another key');
  });

  test('that one user signed and another sends', async () => {
    const bert = await service.user('bert');
    const text = service.text();
    expect(await service.sign(bert, text, { signature: inHex(text, anna) })).toMatchObject(refused);
    expect(whyRefused()).toContain('another key');
  });

  test('without a signature', async () => {
    expect(await service.sign(anna, {}, { signature: '' })).toMatchObject(refused);
    expect(await service.sign(anna, {}, { signature: undefined })).toMatchObject(refused);
  });

  test.each([
    ['dated ahead', () => ({ time: Math.floor(Date.now() / 1000) + 120 }), 'ahead'],
    ['dated long ago', () => ({ time: Math.floor(Date.now() / 1000) - 120 }), 'ago'],
    ['that would live for a day', () => ({ ttl: 86_400 }), 'max_ttl'],
  ])('%s', async (_what, plan, why) => {
    expect(await service.sign(anna, plan())).toMatchObject(refused);
    expect(whyRefused()).toContain(why);
  });

  test.each([
    ['that is for one agent and speaks to another', { agent: 'webstack', body: '{"agent":"shell","action":"run","data":{}}' }],
    ['whose body is none', { agent: 'webstack', body: 'ping' }],
    ['whose body names its action twice', { body: '{"agent":"rpcutil","action":"ping","action":"agent_inventory","data":{}}' }],
    ['whose body names it again in another case', { body: '{"agent":"rpcutil","action":"ping","Action":"purge","data":{}}' }],
    ['whose body hides its data in another case', { body: '{"agent":"rpcutil","action":"ping","DATA":{"x":1}}' }],
    ['whose data has an input twice', { body: '{"agent":"rpcutil","action":"ping","data":{"x":1,"x":2}}' }],
    [
      'whose data has an input in two cases',
      { body: '{"agent":"rpcutil","action":"ping","data":{"tier":"edge","Tier":"core"}}' },
    ],
    ['whose body escapes a second key', { body: '{"agent":"rpcutil","action":"ping","\\u0061ction":"purge","data":{}}' }],
  ])('%s', async (_what, plan) => {
    expect(await service.sign(anna, plan)).toMatchObject(refused);
    expect(records().at(-1)).toMatchObject({ action: 'deny', callerid: 'up=anna' });
  });

  test('of somebody unknown, with so much on record that no disk is filled', async () => {
    const size = () => readFileSync(join(service.folder, 'audit.log')).length;
    const before = size();
    const filter = { fact: [], cf_class: [], identity: ['n'.repeat(10_000)], compound: [] };
    const text = service.text({ caller: `up=${'x'.repeat(100_000)}`, data: { x: 'y'.repeat(500_000) }, filter });
    expect(await service.sign(anna, text, { signature: 'ab'.repeat(64) })).toMatchObject(refused);
    expect(records().at(-1)).toMatchObject({ action: 'deny', request: { envelope: { agent: 'rpcutil' } } });
    expect(size() - before).toBeLessThan(4_096);
    expect(whyRefused()?.length).toBeLessThan(1_000);
  });

  test('of a protocol that nobody knows, without a record', async () => {
    const before = records().length;
    expect(await service.sign(anna, service.text().replace('choria:request:1', 'choria:request:9'))).toMatchObject(refused);
    expect(records()).toHaveLength(before);
  });

  test('where the authorizer breaks', async () => {
    expect(await service.sign(anna, { data: { misbehave: 'throw' } })).toMatchObject(refused);
    expect(records().at(-1)).toMatchObject({ action: 'deny', callerid: 'up=anna' });
  });
});

describe('a token is refused', () => {
  const tokens: Record<string, (user: User) => Promise<string> | string> = {
    'that nobody signed': ({ token }) => `${part({ alg: 'none', typ: 'JWT' })}.${token.split('.')[1]}.`,
    'that is signed with the public key as a secret': ({ token }) => {
      const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${token.split('.')[1]}`;
      const secret = readFileSync(join(service.folder, 'org.public'));
      return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
    },
    'whose header names a key of its own': async ({ token }) => {
      const { privateKey, publicKey } = generateKeyPairSync('ed25519');
      const text = `${part({ alg: 'EdDSA', kid: '../../org.public', jwk: publicKey.export({ format: 'jwk' }) })}.${token.split('.')[1]}`;
      return `${text}.${cryptoSign(null, Buffer.from(text), privateKey).toString('base64url')}`;
    },
    'of another issuer': ({ token }) =>
      signToken(claimsOf(token), { algorithm: 'EdDSA', key: generateKeyPairSync('ed25519').privateKey }),
    'of another algorithm': ({ token }) =>
      signToken(claimsOf(token), { algorithm: 'RS256', key: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey }),
    'whose claims were altered': ({ token }) => {
      const [head, , signature] = token.split('.');
      return `${head}.${part({ ...claimsOf(token), agents: ['*'] })}.${signature}`;
    },
    'that has expired': ({ token }) => resigned(token, { exp: Math.floor(Date.now() / 1000) - 1 }),
    'that is not valid yet': ({ token }) => resigned(token, { nbf: Math.floor(Date.now() / 1000) + 30 }),
    'that was issued in the future': ({ token }) => resigned(token, { iat: Math.floor(Date.now() / 1000) + 30 }),
    'that is good for too long': ({ token }) => resigned(token, { exp: Math.floor(Date.now() / 1000) + 7_300 }),
    'that never ends': ({ token }) => resigned(token, { exp: undefined }),
    'of a node': ({ token }) => resigned(token, { purpose: 'choria_server' }),
    'without a caller': ({ token }) => resigned(token, { callerid: '' }),
    'whose caller is none': ({ token }) => resigned(token, { callerid: 'anna' }),
    'that says that a chain vouches for it': ({ token }) =>
      resigned(token, { iss: `C-x.${publicHex(anna.key)}`, tcs: 'a.b', issexp: Math.floor(Date.now() / 1000) + 600 }),
    'of a megabyte': ({ token }) => resigned(token, { opa_policy: '#'.repeat(700_000) }),
    'that is no text of a token': () => 'a.b.c',
    'that is empty': () => '',
  };
  const resigned = (token: string, over: object) =>
    signToken(JSON.parse(JSON.stringify({ ...claimsOf(token), ...over })), { algorithm: 'EdDSA', key: service.issuer });

  test.each(Object.keys(tokens))('%s', async (name) => {
    const token = await tokens[name]?.(anna);
    expect(await service.sign(anna, {}, { token })).toMatchObject(refused);
    expect(JSON.stringify(service.host?.log)).not.toContain(anna.token.split('.')[2]);
  });
});

describe('the HTTP interface', () => {
  const good = () => JSON.stringify(service.call(anna, service.text()));
  const json = { 'content-type': 'application/json' };

  test.each([
    ['nothing at another path', 404, '/choria/v1/signs', json, 'POST'],
    ['nothing but POST', 405, '/choria/v1/sign', json, 'GET'],
    ['nothing that is not JSON', 415, '/choria/v1/sign', { 'content-type': 'text/plain' }, 'POST'],
    ['nobody who takes no JSON', 406, '/choria/v1/sign', { ...json, accept: 'text/html' }, 'POST'],
    ['logins with 501 where there are none', 501, '/choria/v1/login', json, 'POST'],
  ] as const)('answers %s', async (_what, status, path, headers, method) => {
    const answer = await send(service.port, path, method === 'GET' ? '' : good(), headers, method);
    expect(answer.status).toBe(status);
    if (status === 405) expect(answer.headers.allow).toBe('POST');
    if (status < 500) expect(answer.body).toEqual({ code: status, message: expect.any(String) });
  });

  test.each([
    ['no body', '', 422, 602],
    ['half a body', '{"token":', 400, 400],
    ['a list', '[]', 400, 400],
    ['a number as token', '{"token":1,"request":"","signature":""}', 400, 400],
    ['what is no base64', '{"token":"a","request":"?","signature":""}', 400, 400],
  ])('refuses %s', async (_what, body, status, code) => {
    expect(await service.post('/choria/v1/sign', body)).toMatchObject({ status, body: { code } });
  });

  test('takes keys in any case, and others beside them', async () => {
    const { token, request, signature } = service.call(anna, service.text());
    const answer = await service.post(
      '/choria/v1/sign',
      JSON.stringify({ Token: token, REQUEST: request, signature, more: [1] }),
    );
    secureOf(answer);
    expect(answer.body).toEqual({ secure_request: expect.any(String) });
  });

  test('describes its calls to programs', async () => {
    const { status, body } = await send(service.port, '/swagger.json', '', {}, 'GET');
    expect(status).toBe(200);
    expect(body).toMatchObject({ swagger: '2.0', basePath: '/choria/v1' });
    expect(Object.keys(Object(body.paths))).toEqual(['/login', '/sign']);
  });

  test('describes them to people on a page that loads nothing', async () => {
    const get = (accept: string) => send(service.port, '/choria/v1/docs', '', { accept }, 'GET');
    const { status, body, headers } = await get('text/html,application/xhtml+xml;q=0.9');
    expect(status).toBe(200);
    expect(headers).toMatchObject({
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': expect.stringContaining("default-src 'none'"),
    });
    const text = String(body.text);
    expect(text).toContain('<h2>POST /choria/v1/login</h2>');
    expect(text).toContain('<code>secure_request</code>');
    expect(text).not.toMatch(/<script|<link|src=/);
    expect(await get('application/json')).toMatchObject({ status: 406 });
  });

  test('tells its health and numbers on another port', async () => {
    const get = (path: string) => send(service.monitorPort, path, '', {}, 'GET');
    expect(await get('/readyz')).toMatchObject({ status: 200, body: { ready: true } });
    expect(await get('/healthz')).toMatchObject({ status: 200 });
    const numbers = String((await get('/metrics')).body.text);
    expect(numbers).toMatch(/choria_aaa_signer_allowed\{site="mla1",signer="basicjwt"\} [1-9]/);
    expect(numbers).toMatch(/choria_aaa_authorizer_denied\{site="mla1",authorizer="testlist",action="shell\.run"\} 1/);
    expect(numbers).toMatch(/choria_aaa_signer_invalid_token\{site="mla1",signer="basicjwt"\} [1-9]/);
  });
});

describe.skipIf(!vectors)('the vectors', () => {
  test.each(vectors?.request_shape ?? [])('$id: $title', async (vector) => {
    const { envelope_agent: agent = 'webstack', envelope_collective: collective = 'emea', ttl = 60 } = vector;
    // What a policy says is tested where policies are; here nobody without an entry may do anything.
    const user = await service.user('anna', { agents: vector.opa_policy === undefined ? (vector.agents ?? []) : [] });
    const spoken = {
      agent: vector.body_agent ?? undefined,
      action: vector.body_action ?? undefined,
      data: {},
      ...vector.body_extra,
    };
    const time = Math.floor(Date.now() / 1000) + (vector.request_time_offset_seconds ?? 0);
    const text = service.text({ agent, collective, ttl, time, body: vector.body_text ?? JSON.stringify(spoken) });
    const answer = await service.sign(user, text.replace('choria:request:1', vector.protocol ?? 'choria:request:1'));
    expect('secure_request' in answer.body).toBe(vector.expect.sign);
  });

  test.each(vectors?.caller_rewrite ?? [])('$id: $claim', async ({ claim, expect: expected }) => {
    const made = await makeClientToken(
      { callerid: claim, publicKey: publicHex(anna.key), agents: ['*'], validitySeconds: 60 },
      { key: { algorithm: 'EdDSA', key: service.issuer } },
    );
    const answer = await service.sign(anna, {}, { token: made });
    if (expected.caller === undefined) expect(answer).toMatchObject(refused);
    else expect(JSON.parse(secureOf(answer).message).envelope.callerid).toBe(expected.caller);
  });

  test.each(vectors?.sign_signature ?? [])('a signature of a user is over the bytes as they are', (vector) => {
    expect(signHex(vector.request_text, keyFromSeed(vector.seed))).toBe(vector.signature);
    expect(Buffer.from(vector.request_text).toString('base64')).toBe(vector.request_base64);
    expect(JSON.stringify(withCaller(readInner(vector.request_text), 'up=anna'))).toBe(vector.request_text);
  });
});
