// A federation and two member networks, each with a broker of its own: requests go in, replies come out.

import { readFileSync } from 'node:fs';
import type { Msg, NatsConnection } from 'nats';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { embed } from '../../core/host/embed.ts';
import { AgentClient } from '../../plugins/fleet-client/agent-client.ts';
import { clientNeeds, FleetClient } from '../../plugins/fleet-client/client.ts';
import { type Ran, runMuster, writeConfig } from './command.ts';
import { patience } from './discovery.ts';
import { Fleet, type TestClient } from './fleet.ts';
import { until } from './folders.ts';
import { startHost, type TestHost } from './hosts.ts';
import { Crafter } from './messages.ts';

interface TransportJson {
  readonly data: string;
  readonly headers: {
    readonly 'reply-to'?: string;
    readonly mc_sender?: string;
    readonly 'seen-by': readonly (readonly string[])[];
    readonly federation?: { readonly req: string; readonly 'reply-to'?: string; readonly target?: readonly string[] };
  };
}

interface Status {
  readonly healthy: boolean;
  readonly summary: string;
  readonly details: { readonly errors: number; readonly refused: Readonly<Record<string, number>> };
}

const rpcutilDdl: unknown = JSON.parse(readFileSync(new URL('../../ddl/agents/rpcutil.json', import.meta.url), 'utf8'));
const read = (message: Msg | undefined) => message?.json<TransportJson>();
const statusOf = async ({ host }: TestHost) => (await host.call('service', 'federation', 'service/status', {})) as Status;

export function describeFederation(runs: 'inline' | 'persistent'): void {
  const runner = runs === 'persistent' ? { inlineAs: runs } : {};
  describe(`with the federation broker run ${runs}`, () => {
    let federation: Fleet;
    let london: Fleet;
    let oslo: Fleet;
    let bridge: TestHost;
    let other: TestHost;
    let settings: Record<string, unknown>;
    let client: TestClient;
    let wire: NatsConnection;

    /** The federation broker of a member network. */
    const join = async (member: Fleet, cluster: string) => {
      const host = await startHost({
        distribution: true,
        services: ['federation'],
        runtime: federation.runtime,
        ...runner,
        config: {
          ...(await federation.certificate(`bridge.${cluster}.test`)),
          identity: `bridge.${cluster}.test`,
          'plugin.choria.federation.cluster': cluster,
          'plugin.choria.federation_middleware_hosts': `127.0.0.1:${federation.port}`,
          'plugin.choria.middleware_hosts': `127.0.0.1:${member.port}`,
        },
      });
      await until(`the broker of ${cluster} is connected on both sides`, async () => (await statusOf(host)).healthy);
      return host;
    };

    beforeAll(async () => {
      federation = await Fleet.start();
      [london, oslo] = await Promise.all([Fleet.start({}, federation.authority), Fleet.start({}, federation.authority)]);
      [bridge, other] = await Promise.all([join(london, 'london'), join(oslo, 'oslo')]);
      await Promise.all([
        london.node('l1.test', { classes: ['web'] }),
        london.node('l2.test'),
        oslo.node('o1.test', { classes: ['web'] }),
      ]);
      settings = {
        'plugin.choria.federation.collectives': 'london,oslo',
        'plugin.choria.federation_middleware_hosts': `127.0.0.1:${federation.port}`,
        // Nothing listens there: a client of a federation has no business with it.
        'plugin.choria.middleware_hosts': '127.0.0.1:9',
      };
      client = await federation.client('operator.mcollective', settings);
      wire = await federation.connection();
    });
    afterAll(async () => {
      await Promise.all([bridge?.stop(), other?.stop()]);
      await Promise.all([london?.stop(), oslo?.stop()]);
      await federation?.stop();
    });

    test('a client in front finds the nodes of all members', async () => {
      expect(await client.find()).toEqual(['l1.test', 'l2.test', 'o1.test']);
      expect(await client.find({ classes: ['web'] })).toEqual(['l1.test', 'o1.test']);
    });

    test('a client of one member network finds those alone', async () => {
      const one = await federation.client('operator.mcollective', {
        ...settings,
        'plugin.choria.federation.collectives': 'oslo',
      });
      expect(await one.find()).toEqual(['o1.test']);
    });

    test('a program names member networks for its client, and generated clients go through them', async () => {
      class RpcutilClient extends AgentClient {
        ping() {
          return this.call<{ pong: number }>('ping', {}, { discoveryTimeoutMs: 3_000 });
        }
      }
      await using embedded = await embed({
        runtime: federation.runtime,
        needs: clientNeeds,
        config: { ...(await federation.certificate('operator.mcollective')), identity: 'operator.mcollective', ...settings },
      });
      const rpcutil = new RpcutilClient(new FleetClient(embedded.host, { federations: ['oslo'] }), rpcutilDdl);
      const { replies } = await rpcutil.ping().result();
      expect(replies).toMatchObject([{ sender: 'o1.test', ok: true, data: { pong: expect.any(Number) } }]);
    });

    test('a request to named nodes is answered by each once, wherever they are', async () => {
      const targets = ['l1.test', 'l2.test', 'o1.test'];
      const { replies, statistics } = await client.call({
        agent: 'rpcutil',
        action: 'ping',
        data: {},
        targets,
        timeoutMs: 20_000,
      });
      expect(replies.map(({ sender }) => sender).sort()).toEqual(targets);
      expect(statistics).toMatchObject({ ok: 3, noResponses: [], unexpectedResponses: [] });
    });

    test('replies come without the federation header, with a hop of each who passed them on', async () => {
      const crafter = await Crafter.of(federation.authority, 'operator.mcollective');
      const federationOf = (id: string) => ({ req: id, 'reply-to': '', target: ['mcollective.node.l1.test'] });
      const { id, replyTo, payload } = crafter.request({ federation: federationOf('f'.repeat(32)) });
      const subscription = wire.subscribe(replyTo, { max: 1 });
      const within = await london.connection();
      const inside = within.subscribe('choria.federation.london.collective', { max: 1 });
      await within.flush();
      wire.publish('choria.federation.london.federation', payload);
      const [reply, passedOn] = await Promise.all([first(subscription), first(inside)]);
      expect(read(reply)?.headers.federation).toBeUndefined();
      expect(read(reply)?.headers['seen-by'].map(([, who]) => who)).toEqual([
        'crafter.test',
        expect.stringMatching(/^bridge\.london\.test \(requests:\d\)$/),
        'l1.test',
        expect.stringMatching(/^bridge\.london\.test \(replies:\d\)$/),
      ]);
      const hop = read(reply)?.headers['seen-by'][1];
      expect([hop?.[0], hop?.[2]]).toEqual([`nats://127.0.0.1:${federation.port}`, `nats://127.0.0.1:${london.port}`]);
      expect(read(passedOn)?.headers.federation).toEqual({ req: 'f'.repeat(32), 'reply-to': replyTo, target: [] });
      expect(read(reply)?.data).toBe(read(passedOn)?.data);
      expect(id).toHaveLength(32);
    });

    test('many targets go in groups of 200, once to each member network', async () => {
      const named = await federation.client('operator.mcollective', {
        ...settings,
        'plugin.choria.federation.collectives': 'x,y',
      });
      const seen: { subject: string; targets: number }[] = [];
      const subscription = wire.subscribe('choria.federation.*.federation', {
        callback: (_error, message) =>
          void seen.push({ subject: message.subject, targets: read(message)?.headers.federation?.target?.length ?? 0 }),
      });
      await wire.flush();
      const targets = Array.from({ length: 450 }, (_, index) => `n${index}.test`);
      const replyTo = 'mcollective.reply.nobody.waits';
      await named.call({ agent: 'rpcutil', action: 'ping', data: {}, targets, replyTo });
      await until('all groups came', () => seen.length >= 6);
      subscription.unsubscribe();
      const sizes = (name: string) =>
        seen.filter(({ subject }) => subject.includes(`.${name}.`)).map(({ targets: size }) => size);
      expect([sizes('x'), sizes('y')]).toEqual([
        [200, 200, 50],
        [200, 200, 50],
      ]);
    });

    test('what can not be passed on is refused, counted by kind, and each kind logged once', async () => {
      const crafter = await Crafter.of(federation.authority, 'operator.mcollective');
      const header = { req: 'r', 'reply-to': '' };
      const wrong = [
        Buffer.from('no transport'),
        crafter.request().payload,
        crafter.request({ federation: { ...header, target: [] } }).payload,
        crafter.request({ federation: { ...header, target: ['mcollective.node.l1.test'] }, replyTo: '' }).payload,
        crafter.request({ federation: { ...header, target: ['choria.lifecycle.event.shutdown.server'] } }).payload,
        crafter.request({ federation: { ...header, target: ['mcollective.node.l1.test'] }, replyTo: '$SYS.REQ' }).payload,
      ];
      for (const payload of [...wrong, ...wrong]) wire.publish('choria.federation.london.federation', payload);
      await until('all were refused', async () => (await statusOf(bridge)).details.errors >= 12);
      const kinds = ['unreadable', 'unfederated', 'no targets', 'no reply subject', 'target', 'reply subject'];
      expect((await statusOf(bridge)).details.refused).toEqual(Object.fromEntries(kinds.map((kind) => [`requests: ${kind}`, 2])));
      expect(bridge.log.filter(({ message }) => message.startsWith('a message was refused'))).toHaveLength(kinds.length);
    });

    test('two brokers of one member network share the work, and no node is asked twice', async () => {
      const second = await join(london, 'london');
      const before = client.fleet;
      for (let round = 0; round < 5; round += 1) {
        const { answers, duplicates } = await before.ping();
        expect([answers.length, duplicates]).toEqual([3, []]);
      }
      await second.stop();
    });

    describe('the command line', () => {
      let config: string;
      const muster = (args: string[], env: Record<string, string> = {}): Promise<Ran> =>
        runMuster([...args, '--config', config], env);

      beforeAll(async () => {
        config = writeConfig(federation.folder, 'client.conf', {
          ...(await federation.certificate('operator.mcollective')),
          identity: 'operator.mcollective',
          ...patience,
          'plugin.choria.middleware_hosts': `127.0.0.1:${federation.port}`,
          'plugin.choria.federation_middleware_hosts': `127.0.0.1:${federation.port}`,
        });
      });

      test('--federations reaches the member networks that it names', async () => {
        expect((await muster(['ping', '--names', '--federations', 'oslo'])).out).toBe('o1.test\n');
        expect((await muster(['find', '--federations', 'london,oslo'])).out).toBe('l1.test\nl2.test\no1.test\n');
        expect(
          (await muster(['req', 'rpcutil', 'ping', '--senders', '--federations', 'london'])).out.trim().split('\n').sort(),
        ).toEqual(['l1.test', 'l2.test']);
      });

      test('CHORIA_FED_COLLECTIVE does the same, and the flag counts more', async () => {
        const env = { CHORIA_FED_COLLECTIVE: 'london' };
        expect((await muster(['find'], env)).out).toBe('l1.test\nl2.test\n');
        expect((await muster(['find', '--federations', 'oslo'], env)).out).toBe('o1.test\n');
      });

      test('a client that lacks the brokers of the federation says which key to set', async () => {
        const lacking = writeConfig(federation.folder, 'lacking.conf', {
          identity: 'operator.mcollective',
          'plugin.choria.use_srv': false,
        });
        const { code, err } = await runMuster(['ping', '--federations', 'oslo', '--config', lacking]);
        expect(code).toBe(1);
        expect(err).toContain('set plugin.choria.federation_middleware_hosts');
      });
    });
  });
}

async function first(messages: AsyncIterable<Msg>): Promise<Msg | undefined> {
  for await (const message of messages) return message;
  return undefined;
}
