// What may happen to a signer: it is killed, its disk is full, its broker is away, its clients are slow, many, or mad.

import { spawnSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect as connectNats } from 'nats';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { type Authority, issueFiles, openAuthority } from '../../plugins/overlay/ca.ts';
import { publicHex, seedHex } from '../../plugins/wire/tokens/ed25519.ts';
import { runMuster } from '../support/command.ts';
import { Fleet } from '../support/fleet.ts';
import { temporaryFolder, until } from '../support/folders.ts';
import { Dice } from '../support/fuzz-dice.ts';
import { mutate } from '../support/fuzz-mutate.ts';
import { SignerProcess } from '../support/signer-process.ts';
import { secureOf, send, type User } from '../support/signer-service.ts';

const { path: folder, remove } = temporaryFolder();
let authority: Authority;
const open: { stop(): Promise<void> }[] = [];

beforeAll(async () => {
  authority = await openAuthority(join(folder, 'ca'), 'Test CA');
});
afterEach(async () => {
  for (const one of open.splice(0)) await one.stop();
});
afterAll(() => remove());

async function started(...args: Parameters<typeof SignerProcess.start> extends [Authority, ...infer Rest] ? Rest : never) {
  const signer = await SignerProcess.start(authority, ...args);
  open.push(signer);
  return signer;
}

/** Settings of a chain with a key, and the key's public half. */
function chainSettings() {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const name = join(folder, `chain-${publicHex(publicKey).slice(0, 8)}`);
  writeFileSync(`${name}.seed`, seedHex(privateKey), { mode: 0o600 });
  return {
    settings: { logfile: `${name}.log`, key: `${name}.seed`, checkpoint_interval: '1s' },
    file: `${name}.log`,
    key: publicHex(publicKey),
  };
}

const idsIn = (file: string) =>
  readFileSync(file, 'utf8')
    .split('\n')
    .filter((line) => line.includes('"allow"'))
    .map((line) => {
      const value = JSON.parse(line);
      return (value.record ?? value).request.envelope.requestid as string;
    });
const idOf = (message: string) => JSON.parse(message).envelope.requestid as string;

/** Signs until it is told to stop. @param signed is given the ids of what was signed */
async function signing(signer: SignerProcess, user: User, signed: string[], stop: AbortSignal): Promise<void> {
  const work = async () => {
    while (!stop.aborted) {
      const answer = await signer.service.sign(user).catch(() => undefined);
      if (!answer) return;
      if ('secure_request' in answer.body) signed.push(idOf(secureOf(answer).message));
    }
  };
  await Promise.all(Array.from({ length: 32 }, work));
}

test('a signer that is killed at any moment has a record of all that left it, and its chain goes on', async () => {
  const chain = chainSettings();
  const signer = await started({ settings: { auditors: ['logfile', 'chain'], chain_auditor: chain.settings } });
  const anna = await signer.service.user('anna');
  const all: string[] = [];
  for (let round = 0; round < 4; round += 1) {
    const ending = new AbortController();
    const signed: string[] = [];
    const working = signing(signer, anna, signed, ending.signal);
    // At another point of its work each time.
    await until('some are signed', () => signed.length >= 5 + 17 * round);
    await signer.end('SIGKILL');
    ending.abort();
    await working;
    all.push(...signed);
    await signer.resume();
  }
  secureOf(await signer.service.sign(anna));
  expect(await signer.end('SIGTERM')).toBe(0);
  const [log, chained] = [new Set(idsIn(join(signer.service.folder, 'audit.log'))), new Set(idsIn(chain.file))];
  expect(all.filter((id) => !log.has(id) && !chained.has(id))).toEqual([]);
  expect(all.filter((id) => !chained.has(id))).toEqual([]);
  const { code, out } = await runMuster(['audit', 'verify', chain.file, '--key', chain.key]);
  expect({ code, out }).toMatchObject({ code: 0, out: expect.stringContaining('as they were written') });
});

test('a signer that is stopped answers what runs, and takes nothing more', async () => {
  const signer = await started();
  const anna = await signer.service.user('anna');
  // So few that a busy machine answers them in the time that a stop gives them.
  const running = Array.from({ length: 64 }, () =>
    signer.service.sign(anna).then(
      ({ body }) => ('secure_request' in body ? 'signed' : body.error),
      () => 'not taken',
    ),
  );
  await until('some are under way', () => existsSync(join(signer.service.folder, 'audit.log')));
  expect(await signer.end('SIGTERM')).toBe(0);
  const outcomes = await Promise.all(running);
  const signed = outcomes.filter((outcome) => outcome === 'signed').length;
  expect(signed).toBeGreaterThan(0);
  expect(outcomes.filter((outcome) => outcome !== 'signed' && outcome !== 'not taken')).toEqual([]);
  expect(idsIn(join(signer.service.folder, 'audit.log'))).toHaveLength(signed);
});

/** Where somebody else may not make a disk, there is nothing to be seen. */
const canMount = spawnSync('unshare', ['--mount', '--map-root-user', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0;

test.skipIf(!canMount)('while the disk of its records is full it signs nothing, and no record is half there', async () => {
  const wrap = ['unshare', '--mount', '--map-root-user', 'sh', '-c', 'mount -t tmpfs -o size=48k tmpfs /mnt && exec "$@"', 'sh'];
  const signer = await started({ settings: { logfile_auditor: { logfile: '/mnt/audit.log' } } }, wrap);
  const anna = await signer.service.user('anna');
  const filler = signer.seenBy('/mnt/filler');
  writeFileSync(filler, Buffer.alloc(20 * 1024));
  const signed: string[] = [];
  await until('the disk is full', async () => {
    const answer = await signer.service.sign(anna);
    if ('secure_request' in answer.body) signed.push(idOf(secureOf(answer).message));
    return answer.body.error === 'Request denied';
  });
  expect(signed.length).toBeGreaterThan(5);
  const faulty = { error: 'Request denied', fault: 'SIGNER_AUDIT' };
  expect(await signer.service.sign(anna)).toMatchObject({ status: 200, body: faulty });
  await until('its log says why', () =>
    signer.log.includes('no auditor (logfile) could record the decision, so that nothing is signed'),
  );
  expect(await send(signer.service.monitorPort, '/readyz', '', {}, 'GET')).toMatchObject({
    status: 503,
    body: { ready: false },
  });
  rmSync(filler);
  signed.push(idOf(secureOf(await signer.service.sign(anna)).message));
  expect(idsIn(signer.seenBy('/mnt/audit.log'))).toEqual(signed);
});

describe('with records in a stream', () => {
  test('nothing is signed while the broker is away, and each record is there once when it is back', async () => {
    const streams = { 'plugin.choria.network.stream.store': join(folder, 'streams') };
    const fleet = await Fleet.start(streams, authority);
    open.push(fleet);
    const jetstream = { servers: `nats://127.0.0.1:${fleet.port}`, topic: 'audit.signer.mla1', stream: 'AUDIT', timeout: '1s' };
    const config = { 'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}` };
    const signer = await started({ settings: { auditors: ['jetstream'], jetstream_auditor: jetstream }, config });
    const anna = await signer.service.user('anna');
    const signed: string[] = [];
    await until('the stream takes records', async () => {
      const answer = await signer.service.sign(anna);
      if ('secure_request' in answer.body) signed.push(idOf(secureOf(answer).message));
      return signed.length > 0;
    });
    await fleet.broker?.stop();
    expect((await signer.service.sign(anna)).body).toMatchObject({ error: 'Request denied', fault: 'SIGNER_AUDIT' });
    await fleet.startBroker();
    await until(
      'it signs again',
      async () => {
        const answer = await signer.service.sign(anna);
        if ('secure_request' in answer.body) signed.push(idOf(secureOf(answer).message));
        return 'secure_request' in answer.body;
      },
      30_000,
    );
    const nats = await connectAs(fleet, authority);
    try {
      const manager = await jetstreamManager(nats);
      const { state } = await manager.streams.info('AUDIT');
      const kept: string[] = [];
      for (let seq = 1; seq <= state.last_seq; seq += 1) {
        const message = await manager.streams.getMessage('AUDIT', { seq });
        const record = JSON.parse(Buffer.from(message?.data ?? []).toString());
        kept.push(`${record.action} ${record.request.envelope.requestid}`);
      }
      expect(new Set(kept).size).toBe(kept.length);
      expect(signed.filter((id) => !kept.includes(`allow ${id}`))).toEqual([]);
      const { cert, key, ca } = await issueFiles(authority, { commonName: 'operator.mcollective' });
      const client = join(folder, 'search.conf');
      writeFileSync(
        client,
        `plugin.choria.middleware_hosts = 127.0.0.1:${fleet.port}\nplugin.choria.network.connect_timeout = 20s\nidentity = desk.test\nplugin.security.provider = file\nplugin.security.file.certificate = ${cert}\nplugin.security.file.key = ${key}\nplugin.security.file.ca = ${ca}\n`,
      );
      const found = await runMuster(['audit', 'search', '--stream', 'AUDIT', '--user', 'anna', '--json', '--config', client]);
      expect(JSON.parse(found.out).records).toHaveLength(kept.length);
    } finally {
      await nats.close();
    }
  });
});

async function connectAs(fleet: Fleet, by: Authority) {
  const { cert, key, ca } = await issueFiles(by, { commonName: 'watcher.test' });
  return connectNats({ servers: `nats://127.0.0.1:${fleet.port}`, tls: { certFile: cert, keyFile: key, caFile: ca } });
}

describe('clients', () => {
  const dial = (port: number) =>
    new Promise<Socket>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', () => resolve(socket));
      socket.once('error', reject);
    });

  test('that are slow keep nobody away, and are cut off', async () => {
    const signer = await started({ settings: { max_connections: 100 } });
    const anna = await signer.service.user('anna');
    const slow = await Promise.all(Array.from({ length: 150 }, () => dial(signer.service.port)));
    let closed = 0;
    for (const socket of slow) {
      socket
        .on('error', () => undefined)
        .on('close', () => {
          closed += 1;
        })
        .resume();
      socket.write(
        'POST /choria/v1/sign HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"tok',
      );
    }
    for (let n = 0; n < 20; n += 1) secureOf(await signer.service.sign(anna));
    expect(closed).toBeLessThan(slow.length);
    await until('all of them are cut off', () => closed === slow.length, 60_000);
  });

  test('by the thousand are served, and leave nothing behind', async () => {
    const signer = await started();
    const anna = await signer.service.user('anna');
    const idle = await Promise.all(Array.from({ length: 3_000 }, () => dial(signer.service.port)));
    for (const socket of idle) socket.on('error', () => undefined);
    secureOf(await signer.service.sign(anna));
    for (const socket of idle) socket.destroy();
    secureOf(await signer.service.sign(anna));
    expect(await signer.end('SIGTERM')).toBe(0);
  });

  test('of whom a thousand ask at once all get their signatures', async () => {
    const signer = await started();
    const anna = await signer.service.user('anna');
    const answers = await Promise.all(Array.from({ length: 1_000 }, () => signer.service.sign(anna)));
    expect(answers.filter(({ body }) => !('secure_request' in body))).toEqual([]);
    expect(idsIn(join(signer.service.folder, 'audit.log'))).toHaveLength(1_000);
  });

  test('that send what nobody would are refused, and the service goes on without a word of their secrets', async () => {
    const canary = 'canary-5d1f3c';
    const signer = await started({ settings: { logfile_auditor: { logfile: join(folder, 'fuzz.log') } } });
    mkdirSync(join(folder, 'fuzz'), { recursive: true });
    const { service } = signer;
    const anna = await service.user('anna', { agents: ['*'] });
    const dice = new Dice(20_261_126);
    const spare = [JSON.parse(service.text()), anna.token.split('.')];
    const statuses = new Map<number, number>();
    for (let round = 0; round < 600; round += 1) {
      const plan = JSON.parse(service.text({ data: { password: canary } }));
      const isInner = dice.chance(0.6);
      const text = isInner ? String(JSON.stringify(mutate(plan, dice, spare))) : JSON.stringify(plan);
      const call = service.call(anna, text);
      const body = isInner ? call : mutate({ ...call, token: dice.chance(0.5) ? canary : call.token }, dice, spare);
      const { status, body: answer } = await service.post('/choria/v1/sign', String(JSON.stringify(body) ?? ''));
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      expect(JSON.stringify(answer)).not.toContain('canary');
    }
    expect([...statuses.keys()].filter((status) => ![200, 400, 413, 422].includes(status))).toEqual([]);
    secureOf(await service.sign(anna));
    expect(signer.log).not.toContain('canary');
    expect(signer.log).not.toContain(anna.seed);
    expect(signer.log).not.toContain(anna.token.split('.')[2]);
    expect(signer.log).not.toContain('could not be answered');
  });
});
