// A bundle is saved again and again while 200 requests a second arrive: what is lost, how long they take, and how soon what
// was saved is what answers.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Fleet } from '../support/fleet.ts';
import { temporaryFolder, until, writeBundle } from '../support/folders.ts';
import { median, quantile, report } from './report.ts';
import { Load } from './requests.ts';

const reloads = 50;
const everyMs = 5;
const beforeMs = 5_000;
/** From a new version's first answer to the next save: its predecessor drains meanwhile. */
const pauseMs = 200;
const identity = 'reload.test';

const agent = (version: number) => `from muster_plugin import Agent
agent = Agent("bench_reload")
@agent.action
def say(data, call):
    return {"said": "version-${version};"}
agent.run()
`;
const ddl = {
  metadata: {
    name: 'bench_reload',
    description: 'x',
    author: 'x',
    license: 'x',
    version: '1.0.0',
    url: 'https://example.org',
    timeout: 10,
  },
  actions: [
    {
      action: 'say',
      description: 'Says its version',
      display: 'always',
      input: {},
      output: { said: { description: 'Said', display_as: 'Said' } },
    },
  ],
};
const manifest =
  'bundle: bench_reload\nversion: 1.0.0\nplugins:\n  - { kind: agent, name: bench_reload, runner: persistent, command: [python3, ./agent.py], resources: { ddl: ./ddl.json } }\n';

export async function run(): Promise<void> {
  const { path, remove } = temporaryFolder();
  const folder = writeBundle(path, 'bench_reload', manifest, { 'agent.py': agent(0), 'ddl.json': JSON.stringify(ddl) });
  const fleet = await Fleet.start();
  const end = new AbortController();
  try {
    await fleet.node(identity, { watched: [path] });
    const load = await Load.open(fleet);
    let latest = -1;
    const onReply = (transport: string) => {
      latest = Math.max(latest, versionIn(transport));
    };
    const stream = load.pace({ agent: 'bench_reload', action: 'say' }, identity, everyMs, { signal: end.signal, onReply });
    await until('the agent answers', () => latest === 0);
    await sleep(beforeMs);
    const firstSave = performance.now();
    const delays: number[] = [];
    for (let version = 1; version <= reloads; version += 1) {
      const saved = performance.now();
      writeFileSync(join(folder, 'agent.py'), agent(version));
      await until(`version ${version} answers`, () => latest === version);
      delays.push(performance.now() - saved);
      await sleep(pauseMs);
    }
    end.abort();
    const requests = (await stream).slice(200);
    const msOf = (part: typeof requests) => part.flatMap(({ ms }) => (ms === undefined ? [] : [ms]));
    const before = quantile(msOf(requests.filter(({ at }) => at < firstSave)), 0.99);
    const during = quantile(msOf(requests.filter(({ at }) => at >= firstSave)), 0.99);
    const lost = requests.filter(({ ms }) => ms === undefined).length;
    const slowest = Math.max(...delays);
    report(
      'reload',
      `${reloads} reloads under ${1000 / everyMs} requests a second, ${requests.length} in all, Node ${process.version}`,
      [
        { what: 'p99 before', median: before, unit: 'ms' },
        {
          what: 'p99 over all reloads',
          median: during,
          unit: 'ms',
          ratio: during / before,
          bound: '≤ 3 of it, or 10 ms',
          met: during <= Math.max(10, 3 * before),
        },
        { what: 'requests lost', median: lost, unit: '', bound: '0', met: lost === 0 },
        { what: 'from saved to answering', median: median(delays), unit: 'ms' },
        { what: 'the slowest of them', median: slowest, unit: 'ms', bound: '≤ 1,000 ms', met: slowest <= 1_000 },
      ],
    );
  } finally {
    end.abort();
    await fleet.stop();
    remove();
  }
}

/** The version that a reply names; its body is base64 within base64 (protocol v1). */
function versionIn(transport: string): number {
  const { data } = JSON.parse(transport) as { data: string };
  const secure = Buffer.from(data, 'base64').toString();
  return Number(/version-(\d+);/.exec(secure)?.[1] ?? -1);
}
