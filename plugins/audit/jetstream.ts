// The auditor `jetstream`: records in a stream on the brokers. One counts as written when the broker says that it is stored.

import { randomUUID } from 'node:crypto';
import { definePlugin, type Host } from '../../core/sdk/typescript/index.ts';
import { connectAudit } from './connect.ts';
import { JetStream } from './jetstream-api.ts';
import { type AuditRecord, onlySignatures } from './record.ts';
import { AuditError, type AuditorConfig, durationOf, numberOf, problemsOf, sectionOf, textOf } from './section.ts';

const name = 'jetstream_auditor';
/** Records that wait for a broker. */
const mostWaiting = 10_000;
/** The signer gives an auditor five seconds. */
const usualTimeoutMs = 4_000;
const subjectForm = /^[^\s.*>]+(\.[^\s.*>]+)*$/;

interface Spec {
  readonly servers: readonly string[];
  readonly topic: string;
  /** Made if it is not there. */
  readonly stream: string | undefined;
  readonly replicas: number;
  readonly timeoutMs: number;
}

export default definePlugin({
  kind: 'auditor',
  version: '1.0.0',
  create: (host) => {
    let opening: Promise<Open> | undefined;
    const open = (): Promise<Open> => {
      opening ??= openStream(host).catch((error: unknown) => {
        opening = undefined;
        throw error;
      });
      return opening;
    };
    return {
      methods: {
        'auditor/check': () => ({ problems: problemsOf(() => readSpec(host) && []) }),
        'auditor/record': async ({ records }: { records: readonly AuditRecord[] }) => {
          const { jetstream, spec } = await open();
          await Promise.all(onlySignatures(records).map((record) => store(jetstream, spec, record)));
          return { written: records.length };
        },
      },
      // Connected before the first record comes.
      activate: async () => {
        if (isConfigured(host)) await open().catch((error: Error) => host.log.warn(error.message));
      },
      shutdown: async () => (await opening?.catch(() => undefined))?.jetstream.stop(),
    };
  },
});

interface Open {
  readonly jetstream: JetStream;
  readonly spec: Spec;
}

async function openStream(host: Host): Promise<Open> {
  const spec = readSpec(host);
  await connectAudit(host, { servers: spec.servers, role: 'server', wait: false });
  const jetstream = new JetStream(host, mostWaiting);
  await jetstream.start();
  if (spec.stream !== undefined) jetstream.ensureStream(spec.stream, spec.topic, spec.replicas);
  return { jetstream, spec };
}

/**
 * Sent again under the same id until it is stored, which a broker stores once. Whoever asked is told in time that it is not
 * stored yet; it still will be, for the sake of those records whose signature left with another auditor's word.
 */
async function store(jetstream: JetStream, { topic, timeoutMs }: Spec, record: object): Promise<void> {
  const payload = Buffer.from(JSON.stringify(record));
  await jetstream.publish(topic, payload, { id: randomUUID(), timeoutMs });
}

function isConfigured(host: Host): boolean {
  try {
    return sectionOf(host.config as AuditorConfig, name) !== undefined;
  } catch {
    return false;
  }
}

/** @throws AuditError */
function readSpec(host: Host): Spec {
  const section = sectionOf(host.config as AuditorConfig, name);
  const servers = textOf(section, name, 'servers')
    .split(',')
    .map((server) => server.trim())
    .filter((server) => server !== '');
  const wrong = servers.find((server) => !/^(nats|tls):\/\/[^/:]+:\d+$|^\[?[^/]+\]?:\d+$/.test(server));
  if (servers.length === 0 || wrong !== undefined)
    throw new AuditError(`${name}.servers: '${wrong ?? ''}' is no broker such as nats://broker.example.net:4222`);
  const topic = textOf(section, name, 'topic');
  if (!subjectForm.test(topic))
    throw new AuditError(`${name}.topic '${topic}' is no subject without wildcards, such as audit.signer`);
  const stream = section.stream === undefined ? undefined : textOf(section, name, 'stream');
  if (stream !== undefined && !/^[A-Za-z0-9_-]+$/.test(stream))
    throw new AuditError(`${name}.stream '${stream}' is no name of a stream; it has letters, digits, - and _`);
  return {
    servers,
    topic,
    stream,
    replicas: numberOf(section, name, 'replicas', 1),
    timeoutMs: durationOf(section, name, 'timeout', usualTimeoutMs),
  };
}
