// The numbers of a connection to brokers, under the names that Choria's connector gives them.

import type { Host } from '../../core/sdk/typescript/index.ts';

type Labels = Readonly<Record<string, string>>;

export async function tellConnection({ bus, metrics }: Host, connection: string, labels: Labels): Promise<void> {
  const { reconnects = 0, attempts = 0, losses = 0, errors = 0, connectMs = 0 } = await bus.info(connection);
  const set = (name: string, value: number, help: string) =>
    metrics.set(`choria_connector_${name}`, value, labels, { type: 'counter', help });
  await set('initial_connection_attempts', attempts, 'Times that it was tried to connect, until the first time that it worked');
  await set('reconnections', reconnects, 'Times that the connection to the broker was made again');
  await set('connection_closed', losses, 'Times that the connection to the broker was lost');
  await set('errors', errors, 'Errors that the broker told of');
  // The two series of a summary, which Choria has without quantiles.
  await set('initial_connect_time_sum', connectMs / 1000, 'Seconds until the connection was there');
  await set('initial_connect_time_count', connectMs > 0 ? 1 : 0, 'Connections that were made for the first time');
}
