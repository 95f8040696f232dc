// What whoever shows a token may hear and say, as Choria's broker grants it.

import { createHash } from 'node:crypto';
import { callerHash, nodeSubject } from '../../wire/subjects.ts';
import type { ClientClaims } from '../../wire/tokens/client.ts';
import type { ServerClaims } from '../../wire/tokens/server.ts';

/** Subjects; neither list is ever empty, which would mean all. */
export interface Permissions {
  readonly subscribe: readonly string[];
  readonly publish: readonly string[];
  /** Of those, what is not granted. */
  readonly denied?: readonly string[];
}

/** Which tokens have ended, which codes and ID tokens were used, who is locked out. */
const guarded = ['MUSTER_REVOKED', 'MUSTER_TOTP', 'MUSTER_LOGIN_ONCE', 'MUSTER_LOGIN_FAILURES'];

const electionBucket = 'KV_CHORIA_LEADER_ELECTION';

/** What a user of streams asks of JetStream. */
const streamsUser = [
  '$JS.API.INFO',
  '$JS.API.STREAM.NAMES',
  '$JS.API.STREAM.LIST',
  '$JS.API.STREAM.INFO.*',
  '$JS.API.STREAM.MSG.GET.*',
  '$JS.API.STREAM.MSG.DELETE.*',
  '$JS.API.DIRECT.GET.*',
  '$JS.API.DIRECT.GET.*.>',
  '$JS.API.CONSUMER.CREATE.*',
  '$JS.API.CONSUMER.CREATE.*.>',
  '$JS.API.CONSUMER.DURABLE.CREATE.*.*',
  '$JS.API.CONSUMER.DELETE.*.*',
  '$JS.API.CONSUMER.NAMES.*',
  '$JS.API.CONSUMER.LIST.*',
  '$JS.API.CONSUMER.INFO.*.*',
  '$JS.API.CONSUMER.MSG.NEXT.*.*',
  '$JS.ACK.>',
  '$JS.FC.>',
  '$KV.>',
  '$O.>',
];

/** What a node with a right to streams asks, after the prefix of the API. */
const streamsNode = [
  'STREAM.INFO.*',
  'STREAM.MSG.GET.*',
  'STREAM.MSG.DELETE.*',
  'DIRECT.GET.*',
  'DIRECT.GET.*.>',
  'CONSUMER.CREATE.*',
  'CONSUMER.CREATE.*.>',
  'CONSUMER.DURABLE.CREATE.*.*',
  'CONSUMER.INFO.*.*',
  'CONSUMER.MSG.NEXT.*.*',
];

/** Rights to streams in general do not reach these buckets, or whoever stole a token could have it live again. */
function guardedFrom(named: readonly string[] = []): readonly string[] {
  const others = guarded.filter((bucket) => !named.some((subject) => subject.startsWith(`$KV.${bucket}.`)));
  return others.flatMap((bucket) => [`$KV.${bucket}.>`, `$JS.API.STREAM.MSG.DELETE.KV_${bucket}`]);
}

export function clientPermissions({ callerid, ou = 'choria', permissions = {}, ...claims }: ClientClaims): Permissions {
  if (permissions.org_admin) return { subscribe: ['>'], publish: ['>'] };
  const streams = permissions.streams_admin === true || permissions.streams_user === true;
  return {
    subscribe: [
      ...inboxes('*', callerid),
      ...(claims.sub_subjects ?? []),
      ...(permissions.streams_admin ? ['$JS.EVENT.>'] : []),
      ...(permissions.streams_user ? [`${ou}.republish.>`] : []),
      ...(permissions.events_viewer ? ['choria.lifecycle.event.>', 'choria.machine.watcher.>', 'choria.machine.transition'] : []),
    ],
    publish: [
      '$SYS.REQ.USER.INFO',
      ...(claims.pub_subjects ?? []),
      ...(permissions.streams_admin ? ['$JS.>'] : []),
      ...(permissions.streams_user ? streamsUser : []),
      ...(permissions.election_user ? [`$JS.API.STREAM.INFO.${electionBucket}`, '$KV.CHORIA_LEADER_ELECTION.>'] : []),
      ...(permissions.governor && streams ? ['*.governor.*', 'choria.lifecycle.event.governor.>'] : []),
      ...(permissions.fleet_management || permissions.signed_fleet_management
        ? ['*.broadcast.agent.>', '*.broadcast.service.>', '*.node.>', 'choria.federation.*.federation']
        : []),
    ],
    denied: guardedFrom(claims.pub_subjects),
  };
}

export function serverPermissions({
  identity,
  collectives,
  ou = 'choria',
  permissions = {},
  ...claims
}: ServerClaims): Permissions {
  const each = (subjects: (collective: string) => readonly string[]) => collectives.flatMap(subjects);
  const api = ou === 'choria' ? '$JS.API' : 'choria.streams';
  return {
    subscribe: [
      ...each((collective) => [
        `${collective}.broadcast.agent.>`,
        nodeSubject(collective, identity),
        ...inboxes(collective, identity),
      ]),
      ...(permissions.service_host ? each((collective) => [`${collective}.broadcast.service.>`]) : []),
      ...(permissions.streams ? [`${ou}.republish.>`] : []),
    ],
    publish: [
      'choria.lifecycle.>',
      'choria.machine.transition',
      'choria.machine.watcher.>',
      ...(claims.pub_subjects ?? []),
      ...each((collective) => [
        `${collective}.reply.>`,
        `${collective}.broadcast.agent.registration`,
        `choria.federation.${collective}.collective`,
      ]),
      ...(permissions.submission ? each((collective) => [`${collective}.submission.in.>`]) : []),
      ...(permissions.governor && permissions.streams ? each((collective) => [`${collective}.governor.*`]) : []),
      ...(permissions.streams ? [...streamsNode.map((subject) => `${api}.${subject}`), '$JS.ACK.>', '$JS.FC.>'] : []),
    ],
    denied: guardedFrom(claims.pub_subjects),
  };
}

function inboxes(collective: string, name: string): readonly string[] {
  const sha256 = createHash('sha256').update(name).digest('hex');
  return [`${collective}.reply.${callerHash(name)}.>`, `${collective}.reply.${sha256}.>`];
}
