// Streams beside gateways, where each overlay has a cluster of two brokers: what works together, and what alone.

import { join } from 'node:path';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openAuthority } from '../../plugins/overlay/ca.ts';
import { Fleet } from '../support/fleet.ts';
import { freePort, temporaryFolder, until } from '../support/folders.ts';

const prefix = 'plugin.choria.network';
const folder = temporaryFolder();
const stores = [0, 1, 2, 3].map(temporaryFolder);
const fleets: Fleet[] = [];
const names = ['london', 'oslo'] as const;
const brokersOf = (name: string) => fleets.filter((_, index) => names[Math.floor(index / 2)] === name);

beforeAll(async () => {
  const ports = await Promise.all(stores.map(async () => ({ peer: await freePort(), gateway: await freePort() })));
  const authority = await openAuthority(join(folder.path, 'ca'), 'Test CA');
  // None of them is healthy before there are enough to choose a leader.
  const starting = stores.map(async ({ path }, index) => {
    const first = index - (index % 2);
    const [own, other] = first === 0 ? names : [names[1], names[0]];
    const there = ports.slice(first === 0 ? 2 : 0, first === 0 ? 4 : 2);
    const config = {
      identity: `${own}${index}`,
      [`${prefix}.peer_port`]: ports[index]?.peer,
      [`${prefix}.peers`]: ports.slice(first, first + 2).map(({ peer }) => `127.0.0.1:${peer}`),
      [`${prefix}.stream.store`]: path,
      [`${prefix}.gateway_name`]: own,
      [`${prefix}.gateway_port`]: ports[index]?.gateway,
      [`${prefix}.gateway_remotes`]: other,
      [`${prefix}.gateway_remote.${other}.urls`]: there.map(({ gateway }) => `127.0.0.1:${gateway}`),
    };
    fleets[index] = await Fleet.start(config, authority);
  });
  await Promise.all(starting);
}, 120_000);
afterAll(async () => {
  for (const fleet of fleets.toReversed()) await fleet.stop();
  for (const { remove } of [folder, ...stores]) remove();
});

test('a stream of one cluster is there for all, and takes messages when the other cluster is gone', async () => {
  const [inLondon] = brokersOf('london');
  const [inOslo] = brokersOf('oslo');
  if (!inLondon || !inOslo) throw new Error('the brokers did not start');
  const nats = await inLondon.connection();
  const manager = await jetstreamManager(nats, { checkAPI: false });
  const made = await until(
    'the brokers have chosen a leader and make the stream',
    () =>
      manager.streams
        .add({ name: 'LONDON', subjects: ['london.>'], placement: { cluster: 'london', tags: [] } })
        .catch(() => undefined),
    60_000,
  );
  expect(made.cluster?.name).toBe('london');
  const oslo = jetstream(await inOslo.connection());
  // The other cluster hears a moment later that somebody in this one listens.
  const fromOslo = await until(
    'a message of the other cluster is taken',
    () => oslo.publish('london.hello').catch(() => undefined),
    30_000,
  );
  expect(fromOslo).toMatchObject({ stream: 'LONDON' });

  for (const fleet of brokersOf('oslo')) await fleet.broker?.stop();
  await until(
    'a message is taken',
    () =>
      jetstream(nats)
        .publish('london.alone')
        .catch(() => undefined),
    30_000,
  );
  const refused = manager.streams.add({ name: 'LATER', subjects: ['later'], placement: { cluster: 'london', tags: [] } });
  await expect(refused).rejects.toThrow();

  await Promise.all(brokersOf('oslo').map((fleet) => fleet.startBroker()));
  // What was refused may still be made, since its leader has it in mind; so may one of these whose answer is late.
  await until(
    'more streams can be made again',
    () =>
      manager.streams
        .add({ name: 'AGAIN', subjects: ['again'], placement: { cluster: 'london', tags: [] } })
        .catch(() => manager.streams.info('AGAIN').catch(() => undefined)),
    60_000,
  );
});
