// A request as a trace: the client's span, a node's below it, the calls of plugins below that. The collector is a stand-in
// that keeps what it is sent.

import { createServer, type Server } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { embed } from '../../core/host/embed.ts';
import { clientNeeds, FleetClient } from '../../plugins/fleet-client/client.ts';
import { callRpc } from '../../plugins/fleet-client/request.ts';
import { readTraceparent, traceIdOf } from '../../plugins/wire/trace.ts';
import { runMuster, writeConfig } from '../support/command.ts';
import { patience } from '../support/discovery.ts';
import { Fleet } from '../support/fleet.ts';
import { freePort, temporaryFolder, until, writeBundle } from '../support/folders.ts';
import type { TestHost } from '../support/hosts.ts';
import { Crafter } from '../support/messages.ts';

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
  readonly kind: number;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly status: { readonly code: number; readonly message?: string };
  readonly attributes: readonly { readonly key: string; readonly value: Readonly<Record<string, unknown>> }[];
}

interface Export {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: Span['attributes'] };
    readonly scopeSpans: readonly { readonly spans: readonly Span[] }[];
  }[];
}

/** Keeps spans, or refuses them. */
class Collector {
  readonly spans: Span[] = [];
  readonly instances = new Set<unknown>();
  readonly paths = new Set<string>();
  status = 200;
  port = 0;
  #server: Server | undefined;

  async start(): Promise<void> {
    this.port = await freePort();
    this.#server = createServer(async (request, response) => {
      const parts: Buffer[] = [];
      for await (const part of request) parts.push(part as Buffer);
      if (this.status === 200) {
        this.paths.add(`${request.method} ${request.url} ${request.headers['content-type']}`);
        const { resourceSpans } = JSON.parse(Buffer.concat(parts).toString()) as Export;
        for (const { resource, scopeSpans } of resourceSpans) {
          this.instances.add(resource.attributes.find(({ key }) => key === 'service.instance.id')?.value.stringValue);
          this.spans.push(...scopeSpans.flatMap(({ spans }) => spans));
        }
      }
      response.writeHead(this.status).end('{}');
    });
    await new Promise<void>((resolve) => this.#server?.listen(this.port, '127.0.0.1', resolve));
  }

  of(trace: string): Span[] {
    return this.spans.filter(({ traceId }) => traceId === trace);
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise<void>((resolve) => this.#server?.close(() => resolve()) ?? resolve());
  }
}

const agent = `from muster_plugin import Agent
agent = Agent("asks")

@agent.action
def fact(data, call):
    return {"value": agent.facts("site", call)}

agent.run()
`;
const ddl = JSON.stringify({
  metadata: {
    name: 'asks',
    description: 'd',
    author: 'x',
    license: 'x',
    version: '1.0.0',
    url: 'https://example.org',
    timeout: 10,
  },
  actions: [
    {
      action: 'fact',
      description: 'd',
      display: 'always',
      input: {},
      output: { value: { description: 'v', display_as: 'Value' } },
    },
  ],
});

let fleet: Fleet;
let node: TestHost;
let silent: TestHost;
let settings: Record<string, unknown>;
const collector = new Collector();
const { path: bundles, remove } = temporaryFolder();

beforeAll(async () => {
  await collector.start();
  writeBundle(
    bundles,
    'asks',
    'bundle: asks\nversion: 1.0.0\nplugins:\n  - { kind: agent, name: asks, runner: persistent, command: [python3, ./agent.py], resources: { ddl: ./ddl.json }, needs: { plugins: [facts] } }\n',
    { 'ddl.json': ddl, 'agent.py': agent },
  );
  fleet = await Fleet.start();
  const endpoint = { 'plugin.muster.otlp_endpoint': `http://127.0.0.1:${collector.port}` };
  const everything = ['policy default deny', 'allow\t*\t*\t*\t*'];
  const policies = { asks: everything, rpcutil: everything };
  node = await fleet.node('n1.test', { facts: { site: 'oslo' }, config: endpoint, policies, bundles: [bundles] });
  silent = await fleet.node('off.test', { facts: { site: 'oslo' }, bundles: [bundles] });
  settings = {
    ...(await fleet.certificate('operator.mcollective')),
    identity: 'operator.mcollective',
    ...patience,
    'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
    ...endpoint,
  };
});
afterAll(async () => {
  await fleet?.stop();
  await collector.stop();
  remove();
});

const childrenOf = (spans: readonly Span[], parent: Span) => spans.filter(({ parentSpanId }) => parentSpanId === parent.spanId);
const attribute = ({ attributes }: Span, key: string) => Object.values(attributes.find((one) => one.key === key)?.value ?? {})[0];

test('client → node → plugin → the plugin that it asks: each span is below the one that caused it', async () => {
  await using embedded = await embed({ runtime: fleet.runtime, needs: clientNeeds, config: settings });
  const client = new FleetClient(embedded.host);
  const { replies, statistics } = await callRpc(client, { agent: 'asks', action: 'fact', data: {}, targets: ['n1.test'] });
  expect(replies).toMatchObject([{ sender: 'n1.test', data: { value: 'oslo' } }]);
  const trace = statistics.requestId;
  const spans = await until('all spans came', () => {
    const found = collector.of(trace);
    return found.length >= 6 ? found : undefined;
  });
  const [root] = spans.filter(({ parentSpanId }) => parentSpanId === undefined);
  expect(root).toMatchObject({ name: 'asks#fact', kind: 3, status: { code: 1 } });
  const [onNode, ...others] = childrenOf(spans, root as Span);
  expect([onNode, others]).toMatchObject([{ name: 'asks#fact', kind: 2, status: { code: 1 } }, []]);
  expect(attribute(onNode as Span, 'muster.node')).toBe('n1.test');
  const calls = childrenOf(spans, onNode as Span);
  expect(calls.map(({ name }) => name)).toEqual([
    'authorizer/action_policy authorizer/authorize',
    'agent/asks agent/invoke',
    'security/x509 security/seal',
  ]);
  expect(childrenOf(spans, calls[1] as Span).map(({ name }) => name)).toEqual(['facts/node facts/get']);
  expect(spans).toHaveLength(6);
  for (const span of spans) {
    expect(span.spanId).toMatch(/^[0-9a-f]{16}$/);
    expect(BigInt(span.endTimeUnixNano) >= BigInt(span.startTimeUnixNano)).toBe(true);
  }
  expect(attribute(root as Span, 'muster.replies')).toBe('1');
  expect(collector.paths).toEqual(new Set(['POST /v1/traces application/json']));
  expect(collector.instances).toEqual(new Set(['n1.test', 'operator.mcollective']));
});

test('the same with every plugin in a process of its own', async () => {
  const config = { 'plugin.muster.otlp_endpoint': `http://127.0.0.1:${collector.port}`, rpcauthorization: false };
  await fleet.node('apart.test', { facts: { site: 'oslo' }, config, bundles: [bundles], inlineAs: 'persistent' });
  const client = await fleet.client();
  const { requestId: trace } = (await client.call({ agent: 'asks', action: 'fact', data: {}, targets: ['apart.test'] }))
    .statistics;
  const spans = await until('all spans came', () => {
    const found = collector.of(trace);
    return found.length >= 4 ? found : undefined;
  });
  const [onNode] = spans.filter(({ kind }) => kind === 2);
  const calls = childrenOf(spans, onNode as Span);
  expect(calls.map(({ name }) => name)).toEqual(['agent/asks agent/invoke', 'security/x509 security/seal']);
  expect(childrenOf(spans, calls[0] as Span).map(({ name }) => name)).toEqual(['facts/node facts/get']);
});

test('a command records its requests before it ends, discovery among them', async () => {
  const config = writeConfig(fleet.folder, 'traced.conf', settings);
  const { out } = await runMuster(['req', 'rpcutil', 'get_fact', 'fact=site', '--json', '-W', 'site=oslo', '--config', config]);
  const { requestid } = (JSON.parse(out) as { request_stats: { requestid: string } }).request_stats;
  expect(collector.of(requestid).filter(({ kind }) => kind === 3)).toMatchObject([{ name: 'rpcutil#get_fact' }]);
  expect(collector.spans.some(({ name, kind }) => name === 'discovery' && kind === 3)).toBe(true);
});

test('a node is in the trace of a request that a client without traces made, by its id alone', async () => {
  const crafter = await Crafter.of(fleet.authority, 'operator.mcollective');
  const nats = await fleet.connection();
  const { id, payload } = crafter.request({ agent: 'rpcutil', action: 'nothing' });
  nats.publish('mcollective.node.n1.test', payload);
  const [span] = await until('its span came', () => {
    const found = collector.of(id).filter(({ kind }) => kind === 2);
    return found.length > 0 ? found : undefined;
  });
  expect(span).toMatchObject({
    name: 'rpcutil#nothing',
    status: { code: 2, message: expect.stringContaining('Unknown action') },
  });
  expect(span?.parentSpanId).toMatch(/^[0-9a-f]{16}$/);
});

describe('a command that runs inside a trace, as TRACEPARENT tells', () => {
  const [trace, job] = ['4bf92f3577b34da6a3ce929d0e0e4736', '00f067aa0ba902b7'];
  const request = ['req', 'rpcutil', 'get_fact', 'fact=site', '-I', 'n1.test', '--json', '--config'];
  const run = async (name: string, traceparent: string, values: Record<string, unknown> = settings) => {
    const { code, out, err } = await runMuster([...request, writeConfig(fleet.folder, name, values)], {
      TRACEPARENT: traceparent,
    });
    expect([code, err]).toEqual([0, '']);
    return (JSON.parse(out) as { request_stats: { requestid: string } }).request_stats.requestid;
  };
  const ofRequest = (id: string) => collector.spans.filter((span) => attribute(span, 'muster.request') === id);

  test('hangs its requests, and what nodes do for them, below the span that started it', async () => {
    const id = await run('inside.conf', `00-${trace}-${job}-01`);
    const [client, node] = await until('client and node told', () => {
      const found = ofRequest(id).toSorted((a, b) => b.kind - a.kind);
      return found.length === 2 ? found : undefined;
    });
    expect(client).toMatchObject({ traceId: trace, parentSpanId: job, kind: 3 });
    expect(node).toMatchObject({ traceId: trace, parentSpanId: client?.spanId, kind: 2 });
    await until('the calls of plugins hang below', () =>
      collector.of(trace).some(({ parentSpanId, name }) => parentSpanId === node?.spanId && name.endsWith('security/seal')),
    );
  });

  test('gives each request an id of its own, so that the next command of the job is no retry of this one', async () => {
    const ids = [await run('one.conf', `00-${trace}-${job}-01`), await run('two.conf', `00-${trace}-${job}-01`)];
    expect(new Set([...ids, trace]).size).toBe(3);
  });

  test('has nodes hang theirs below the job itself where the client records nothing', async () => {
    const { 'plugin.muster.otlp_endpoint': _endpoint, ...untraced } = settings;
    const id = await run('untraced.conf', `00-${trace}-${job}-01`, untraced);
    const [node, ...others] = await until('the node told', () => (ofRequest(id).length > 0 ? ofRequest(id) : undefined));
    expect([node, others]).toMatchObject([{ traceId: trace, parentSpanId: job, kind: 2 }, []]);
  });

  test('records nothing on any side where the job is not sampled', async () => {
    const id = await run('unsampled.conf', `00-${trace}-${job}-00`);
    const later = await run('sampled.conf', `00-${trace}-${job}-01`);
    await until('the next one was told', () => ofRequest(later).length === 2);
    expect(ofRequest(id)).toEqual([]);
  });

  test('is in a trace of its own where TRACEPARENT makes no sense', async () => {
    const id = await run('nonsense.conf', 'nonsense');
    expect(await until('it was told', () => collector.of(id).find(({ kind }) => kind === 3))).toMatchObject({ traceId: id });
  });

  test('is told what W3C calls valid, and nothing else', () => {
    const parent = { trace, parent: job, sampled: true };
    expect(readTraceparent(`00-${trace}-${job}-01`)).toEqual(parent);
    expect(readTraceparent(`00-${trace}-${job}-02`)).toEqual({ ...parent, sampled: false });
    expect(readTraceparent(`cc-${trace}-${job}-01-what-the-future-brings`)).toEqual(parent);
    for (const wrong of [
      `ff-${trace}-${job}-01`,
      `00-${trace}-${job}-01-more`,
      `00-${'0'.repeat(32)}-${job}-01`,
      `00-${trace}-${'0'.repeat(16)}-01`,
      `00-${trace.toUpperCase()}-${job}-01`,
      `00-${trace}-${job}`,
      42,
      undefined,
    ])
      expect(readTraceparent(wrong)).toBeUndefined();
  });
});

test('a program tells its client the span that it is in', async () => {
  await using embedded = await embed({ runtime: fleet.runtime, needs: clientNeeds, config: settings });
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const client = new FleetClient(embedded.host, { traceparent });
  const { statistics } = await callRpc(client, { agent: 'rpcutil', action: 'ping', data: {}, targets: ['n1.test'] });
  expect(statistics.ok).toBe(1);
  await until('both told', () => collector.of('0af7651916cd43dd8448eb211c80319c').filter(({ kind }) => kind > 1).length === 2);
});

test('a request whose id is no trace id has one all the same, equal on every side', () => {
  const id = '2YBXlrT1WhFao4WVVfMgryWp0nP';
  expect(traceIdOf(id)).toMatch(/^[0-9a-f]{32}$/);
  expect(traceIdOf(id)).toBe(traceIdOf(id));
  expect(traceIdOf(`${id}x`)).not.toBe(traceIdOf(id));
  expect(traceIdOf('0'.repeat(32))).not.toBe('0'.repeat(32));
  expect(traceIdOf('4bf92f3577b34da6a3ce929d0e0e4736')).toBe('4bf92f3577b34da6a3ce929d0e0e4736');
});

test('without an endpoint nobody watches a host’s calls, and no tracer runs', () => {
  expect(silent.host.traces.watched).toBe(false);
  expect(silent.host.list('tracer')).toMatchObject([{ name: 'otlp', state: 'idle' }]);
  expect(node.host.traces.watched).toBe(true);
});

test('while the collector refuses, the node answers, says so once, and the spans come later', async () => {
  const client = await fleet.client();
  collector.status = 503;
  const first = await client.call({ agent: 'rpcutil', action: 'ping', data: {}, targets: ['n1.test'] });
  const refused = () => node.log.filter(({ message }) => message.includes('does not take spans: it answered 503'));
  await until('it was refused', () => refused().length > 0);
  const second = await client.call({ agent: 'rpcutil', action: 'ping', data: {}, targets: ['n1.test'] });
  expect([first.statistics.ok, second.statistics.ok]).toEqual([1, 1]);
  collector.status = 200;
  for (const { statistics } of [first, second])
    await until('its spans came', () => collector.of(statistics.requestId).some(({ kind }) => kind === 2));
  expect(refused()).toHaveLength(1);
});

test('an endpoint that is no URL is named when the node starts', async () => {
  await expect(fleet.node('wrong.test', { config: { 'plugin.muster.otlp_endpoint': 'collector:4318' } })).rejects.toThrow(
    "plugin.muster.otlp_endpoint must be a URL such as http://127.0.0.1:4318, not 'collector:4318'",
  );
});
