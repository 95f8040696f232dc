// What nodes tell of themselves, as whoever listens on the broker hears it.

import { verify, X509Certificate } from 'node:crypto';
import { mkdirSync, renameSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readRequest, readSecureRequest, readTransport } from '../../plugins/wire/v1/messages.ts';
import { Fleet } from '../support/fleet.ts';
import { until, writeBundle } from '../support/folders.ts';
import type { TestHost } from '../support/hosts.ts';

interface Heard {
  readonly subject: string;
  readonly at: number;
  readonly replyTo: string;
  readonly request: ReturnType<typeof readRequest>;
  readonly body: Record<string, unknown>;
}

let fleet: Fleet;
const heard: Heard[] = [];
const of = (sender: string) => heard.filter(({ request }) => request.sender === sender);
const fast = { registerinterval: 1, registration_splay: false };

beforeAll(async () => {
  fleet = await Fleet.start();
  const connection = await fleet.connection();
  for (const subject of ['*.broadcast.agent.registration', 'own.>']) {
    connection.subscribe(subject, {
      callback: (_error, message) => {
        const { data, headers } = readTransport(message.data);
        const { message: text, signature, pubcert } = readSecureRequest(data);
        const { publicKey } = new X509Certificate(pubcert);
        if (!verify('sha256', Buffer.from(text), publicKey, Buffer.from(signature, 'base64'))) return;
        const request = readRequest(text);
        const body = JSON.parse(request.body) as Record<string, unknown>;
        heard.push({ subject: message.subject, at: Date.now(), replyTo: headers.replyTo, request, body });
      },
    });
  }
  await connection.flush();
});
afterAll(() => fleet.stop());

describe.each(['inline', 'persistent'] as const)('%s', (runner) => {
  const name = (node: string) => `${node}-${runner}.test`;
  const run = runner === 'persistent' ? { inlineAs: 'persistent' as const } : {};

  test('inventory_content: the whole document, signed by the node, to the agent registration of its collective', async () => {
    const identity = name('inv');
    await fleet.node(identity, {
      ...run,
      facts: { os: { family: 'Debian' } },
      classes: ['web'],
      config: {
        ...(await fleet.certificate(identity)),
        ...fast,
        registration: 'inventory_content',
        collectives: 'ops, lab',
        main_collective: 'lab',
      },
    });
    const [first] = await until('it registered', () => (of(identity).length > 0 ? of(identity) : undefined));
    expect(first).toMatchObject({
      subject: 'lab.broadcast.agent.registration',
      replyTo: 'dev.null',
      request: { agent: 'registration', collective: 'lab', ttl: 60, caller: `choria=${identity}` },
    });
    expect(first?.request.filter).toMatchObject({ fact: [], cf_class: [], agent: [], identity: [], compound: [] });
    const { protocol, zcontent, ...others } = first?.body ?? {};
    expect({ protocol, others }).toEqual({ protocol: 'choria:registration:inventorycontent:1', others: {} });
    const document = JSON.parse(gunzipSync(Buffer.from(String(zcontent), 'base64')).toString());
    expect(Object.keys(document)).toEqual(['agents', 'classes', 'facts', 'status', 'collectives', 'build_info', 'machines']);
    expect(document).toMatchObject({
      classes: ['web'],
      facts: { os: { family: 'Debian' } },
      collectives: ['ops', 'lab'],
      machines: [],
    });
    expect(document.agents).toContainEqual(expect.objectContaining({ name: 'rpcutil', timeout: 2 }));
    expect(document.status).toMatchObject({ identity, provisioning_mode: false, token_expires: '0001-01-01T00:00:00Z' });
    expect(Object.keys(document.status.stats).sort()).toEqual(
      ['total', 'valid', 'invalid', 'passed', 'filtered', 'replies', 'ttlexpired', 'events'].sort(),
    );
    await until('it registers again', () => of(identity).length > 2);
  });

  test('file_content: the bytes of a file, and whether it changed since the last look', async () => {
    const identity = name('file');
    const file = join(fleet.folder, `${identity}.txt`);
    writeFileSync(file, 'one');
    utimesSync(file, 1_700_000_000, 1_700_000_000);
    const keys = 'plugin.choria.registration.file_content';
    const config = { [`${keys}.data`]: file, [`${keys}.target`]: 'own.files', [`${keys}.compression`]: false };
    await fleet.node(identity, { ...run, config: { ...fast, registration: 'file_content', ...config } });
    const [first] = await until('it registered', () => (of(identity).length > 0 ? of(identity) : undefined));
    expect(first?.subject).toBe('own.files');
    const common = { protocol: 'choria:registration:filecontent:1', file };
    expect(first?.body).toEqual({ ...common, mtime: 1_700_000_000, updated: false, content: 'b25l' });
    // At once: who looks in between would see the text with another time.
    writeFileSync(`${file}.new`, 'two');
    utimesSync(`${file}.new`, 1_700_000_100, 1_700_000_100);
    renameSync(`${file}.new`, file);
    const changed = await until('the change is told', () => of(identity).find(({ body }) => body.updated));
    expect(changed.body).toEqual({ ...common, mtime: 1_700_000_100, updated: true, content: 'dHdv' });
    const at = of(identity).length;
    const later = await until('it registers again', () => of(identity)[at + 1]);
    expect(later.body).toMatchObject({ updated: false });
  });
});

describe('a registration plugin of one’s own, in Python', () => {
  let node: TestHost;
  beforeAll(async () => {
    const bundles = join(fleet.folder, 'bundles');
    mkdirSync(bundles);
    const manifest =
      'bundle: rack\nversion: 1.0.0\nplugins:\n  - { kind: registration, name: rack, runner: persistent, command: [python3, ./rack.py] }\n';
    writeBundle(bundles, 'rack', manifest, {
      'rack.py': `import json
from muster_plugin import Plugin
plugin = Plugin(version="1.0.0")

@plugin.method("registration/collect")
def collect(params, call):
    body = json.dumps({"rack": params["node"]["facts"]["rack"], "agents": len(params["node"]["agents"])})
    return {"messages": [{"body": body}, {"body": json.dumps({"elsewhere": True}), "target": "own.racks"}]}

plugin.run()
`,
    });
    const config = { ...fast, registration: 'rack, inventory_content, nosuch' };
    node = await fleet.node('rack.test', { facts: { rack: 'b7' }, bundles: [bundles], config });
  });

  test('tells what it likes, to whom it likes, beside the others and each at its own interval', async () => {
    const racks = () => of('rack.test').filter(({ body }) => body.rack === 'b7');
    await until('each told twice', () => racks().length > 1);
    expect(racks()[0]?.subject).toBe('mcollective.broadcast.agent.registration');
    expect(of('rack.test').find(({ subject }) => subject === 'own.racks')?.body).toEqual({ elsewhere: true });
    await until('the inventory comes too', () => of('rack.test').filter(({ body }) => body.zcontent).length > 1);
  });

  test('a name that there is no plugin of is told in the log', async () => {
    await until('it is logged', () =>
      node.log.some(({ level, message }) => level === 'error' && message.startsWith('registration nosuch: ')),
    );
  });
});

test('with a size trigger, a message that grew does not wait for its interval', async () => {
  const factsFile = join(fleet.folder, 'growing.json');
  writeFileSync(factsFile, '{}');
  const trigger = { 'plugin.choria.registration.size_trigger': 200, 'plugin.choria.registration.size_interval': 1 };
  const plain = { 'plugin.choria.registration.inventory_content.compression': false };
  const config = { registration: 'inventory_content', registerinterval: 3_600, registration_splay: false, ...trigger, ...plain };
  await fleet.node('grow.test', { config: { ...config, 'plugin.yaml': factsFile } });
  await until('it registered', () => of('grow.test').length === 1);
  writeFileSync(factsFile, JSON.stringify({ note: 'x'.repeat(300) }));
  const [, second] = await until('it registered again', () => (of('grow.test').length > 1 ? of('grow.test') : undefined));
  expect(JSON.stringify(second?.body)).toContain('xxx');
});
