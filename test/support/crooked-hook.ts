// A provisioning hook that does with a node what the first word of its name says.

import { join } from 'node:path';
import { distributionRoot } from '../../core/host/distribution.ts';
import { writeBundle } from './folders.ts';

const root = distributionRoot();

const manifest = `bundle: crooked
version: 1.0.0
plugins:
  - { kind: provisioning-hook, name: crooked, runner: inline, module: ./hook.mjs }
`;

const source = `import { generateKeyPairSync } from 'node:crypto';
import { definePlugin } from '${root}/core/sdk/typescript/index.js';
import { crookedTarget } from '${root}/test/support/crooked-ca.js';

const other = generateKeyPairSync('rsa', { modulusLength: 2048 });
const day = 86_400_000;
const plans = {
  otherkey: (plan) => ({ ...plan, publicKey: other.publicKey }),
  key: (plan) => ({ ...plan, publicKey: other.publicKey }),
  othername: (plan) => ({ ...plan, subject: { CN: 'n9.example.net' } }),
  othersan: (plan) => ({ ...plan, names: ['n9.example.net'] }),
  caller: (plan) => ({ ...plan, names: [...plan.names, 'bob.mcollective'] }),
  expired: (plan) => ({ ...plan, notBefore: new Date(Date.now() - 9 * day), notAfter: new Date(Date.now() - 8 * day) }),
  future: (plan) => ({ ...plan, notBefore: new Date(Date.now() + day) }),
  serveronly: (plan) => ({ ...plan, extendedUsages: ['serverAuth'] }),
  nosign: (plan) => ({ ...plan, usages: ['keyEncipherment'] }),
  authority: (plan) => ({ ...plan, authority: { pathLength: 0 } }),
};
const replies = {
  otherca: (reply, { stranger }) => ({ ...reply, ca: stranger }),
  noca: ({ ca, ...reply }) => reply,
  noconfig: ({ configuration, ...reply }) => reply,
  newline: (reply) => ({ ...reply, configuration: { ...reply.configuration, loglevel: 'info\\nrpcauthorization=no' } }),
  othernode: (reply) => ({ ...reply, configuration: { ...reply.configuration, identity: 'n9.example.net' } }),
  silentback: (reply) => {
    const { 'plugin.choria.server.provision': _gone, ...configuration } = reply.configuration;
    return { ...reply, configuration };
  },
  policy: (reply) => ({ ...reply, action_policies: { '../../etc/passwd.policy': 'policy default allow' } }),
  badpem: (reply) => ({ ...reply, certificate: 'this is none' }),
  key: (reply) => ({ ...reply, key: other.privateKey.export({ type: 'pkcs1', format: 'pem' }) }),
  upgrade: (reply) => ({ ...reply, upgrade: '0.30.0' }),
  claims: (reply) => ({ ...reply, certificate: '', ca: '', server_claims: { ou: 'sales', collectives: ['mt'], permissions: { streams: true } } }),
};
const times = new Map();

export default definePlugin({
  kind: 'provisioning-hook',
  version: '1.0.0',
  methods: {
    'hook/provision': async (request) => {
      const [word] = request.identity.split('.');
      const time = (times.get(request.identity) ?? 0) + 1;
      times.set(request.identity, time);
      if (word === 'defer') return { defer: true, msg: 'not before Monday' };
      if (word === 'once' && time === 1) return { defer: true, msg: 'the first time never' };
      if (word === 'stop') return { shutdown: true, msg: 'it is not ours' };
      if (word === 'throws') throw new Error('the disk of the authority is full');
      if (word === 'types') return { configuration: { identity: 1 } };
      if (word === 'claims') return replies.claims({ configuration: { identity: request.identity, 'plugin.choria.server.provision': 'false' } });
      return crookedTarget({ plan: plans[word], reply: replies[word] }).provision(request);
    },
    'hook/revoke': async ({ serial }) => ({ revoked: serial !== '' }),
  },
});
`;

/** Writes it below a folder, and returns the one that has the bundle in it. */
export function crookedHook(folder: string): string {
  const bundles = join(folder, 'bundles');
  writeBundle(bundles, 'crooked', manifest, { 'hook.mjs': source });
  return bundles;
}
