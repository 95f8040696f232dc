// Three nodes in several collectives, and who asks them.

import { writeConfig } from './command.ts';
import { patience } from './discovery.ts';
import { Fleet, type TestClient } from './fleet.ts';

export interface InCollectives {
  readonly fleet: Fleet;
  readonly client: TestClient;
  /** The file for commands. */
  readonly config: string;
}

export async function startInCollectives(): Promise<InCollectives> {
  const fleet = await Fleet.start();
  await Promise.all([
    fleet.node('both.test', { config: { collectives: 'mcollective,databases' } }),
    fleet.node('main.test', { config: { collectives: 'mcollective' } }),
    fleet.node('db.test', { config: { collectives: 'databases,backups', main_collective: 'backups' } }),
  ]);
  const collectives = { collectives: 'mcollective,databases,backups' };
  const client = await fleet.client('operator.mcollective', collectives);
  const config = writeConfig(fleet.folder, 'client.conf', {
    ...(await fleet.certificate('operator.mcollective')),
    identity: 'operator.mcollective',
    ...patience,
    'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
    ...collectives,
  });
  return { fleet, client, config };
}
