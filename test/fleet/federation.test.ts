// A federation and two member networks, each with a broker of its own: requests go in, replies come out.

import { describe, expect, test } from 'vitest';
import { forwardReply, forwardRequest } from '../../plugins/federation/route.ts';
import { describeFederation } from '../support/federation-spec.ts';
import { startHost } from '../support/hosts.ts';

describeFederation('inline');

test('a federation broker without brokers of the federation does not start', async () => {
  await expect(
    startHost({ distribution: true, services: ['federation'], config: { 'plugin.choria.use_srv': false } }),
  ).rejects.toThrow('set plugin.choria.federation_middleware_hosts');
});

describe('headers of protocol v2', () => {
  const protocol = 'io.choria.protocol.v2.transport';
  const hop = ['nats://in', 'bridge (requests:0)', 'nats://out'] as const;

  test('have other names and mean the same', () => {
    const request = {
      protocol,
      data: 'c2lnbmVk',
      headers: {
        reply: 'choria.reply.x.1',
        sender: 'ws',
        trace: [['a', 'ws', 'a']],
        federation: { request: '1', targets: ['choria.node.n1'] },
      },
    };
    const { subjects, payload } = forwardRequest(Buffer.from(JSON.stringify(request)), 'london', hop);
    expect(subjects).toEqual(['choria.node.n1']);
    const passed = JSON.parse(Buffer.from(payload).toString());
    expect(passed).toEqual({
      protocol,
      data: 'c2lnbmVk',
      headers: {
        sender: 'ws',
        reply: 'choria.federation.london.collective',
        trace: [['a', 'ws', 'a'], [...hop]],
        federation: { request: '1', reply: 'choria.reply.x.1' },
      },
    });
    const back = forwardReply(Buffer.from(JSON.stringify({ ...passed, headers: { ...passed.headers, reply: undefined } })), hop);
    expect(back.subjects).toEqual(['choria.reply.x.1']);
    expect(JSON.parse(Buffer.from(back.payload).toString()).headers).toEqual({
      sender: 'ws',
      trace: [['a', 'ws', 'a'], [...hop], [...hop]],
    });
  });
});
