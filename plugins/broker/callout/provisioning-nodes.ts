// Nodes that are to be provisioned: a good provisioning token, and a name that nobody else has, whose subjects it gets.

import { isNodeName, nodeSubject } from '../../wire/subjects.ts';
import { nodePermissions } from '../provisioning-configuration.ts';
import type { Names } from './names.ts';
import { type Grants, RefusedError } from './service.ts';
import type { TokenCheck } from './tokens.ts';

export function provisioningGrants(tokens: TokenCheck, names: Names, account: string): Grants {
  return {
    get size() {
      return names.size;
    },
    ended: (server, connection) => names.release(server, connection),
    grant: async (asked) => {
      const { auth_token: token = '', name = '' } = asked.connect_opts;
      if (token === '') throw new RefusedError('there is no provisioning token');
      const expires = await tokens.check(token);
      if (!isNodeName(name)) throw new RefusedError('the name of the connection is no identity of a node');
      const claimed = await names.claim(asked.server_id.id, asked.client_info.id, name);
      if (!claimed.ok)
        throw new RefusedError(
          claimed.holder === asked.client_info.id
            ? 'the connection has another name already'
            : `${name} is connected already, and the first holder of a name keeps it; if two machines have one identity, change that of one`,
        );
      return { account, name, expires, ...nodePermissions(nodeSubject('provisioning', name)) };
    },
  };
}
