// The same trivial action through one node, as agents of several kinds, against a bare spawn with three files.

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Fleet } from '../support/fleet.ts';
import { temporaryFolder, until, writeBundle } from '../support/folders.ts';
import { runOnce } from './floor/spawn-files.mjs';
import { median, type Row, report } from './report.ts';
import { Load } from './requests.ts';

const rounds = 3;
const atOnce = 8;
const processCalls = 120;
const persistentCalls = 6_000;
const identity = 'agents.test';

const ddl = (name: string, provider?: string) => ({
  metadata: {
    name,
    description: name,
    author: 'x',
    license: 'x',
    version: '1.0.0',
    url: 'https://example.org',
    timeout: 30,
    ...(provider && { provider }),
  },
  actions: [{ action: 'say', description: 'Says it again', display: 'always', input: {}, output: {} }],
});

const choria = (python: string) => `#!${python}
import json, os
request = json.load(open(os.environ["CHORIA_EXTERNAL_REQUEST"]))
reply = {"activate": True} if request.get("protocol", "").endswith("activation_request") else {"data": {"said": "it"}}
json.dump(reply, open(os.environ["CHORIA_EXTERNAL_REPLY"], "w"))
`;

export async function run(): Promise<void> {
  const { path, remove } = temporaryFolder();
  const python = execFileSync('python3', ['-c', 'import sys; print(sys.executable)'], { encoding: 'utf8' }).trim();
  const executable = writeAgents(path, python);
  const fleet = await Fleet.start();
  try {
    const node = await fleet.node(identity, {
      bundles: [join(path, 'bundles')],
      config: { 'plugin.choria.agent_provider.mcorpc.libdir': path },
    });
    await until('the agents are announced', () => node.log.some(({ message }) => message === 'external agents: bench_choria'));
    const load = await Load.open(fleet);
    const send = (agent: string, calls: number) =>
      load.send(load.sign(calls, { agent, action: 'say' }), identity, calls === processCalls ? atOnce : 64);
    const subjects: Readonly<Record<string, () => Promise<number>>> = {
      'bare spawn with three files (floor)': () => bare(executable),
      'agent of Choria in Python': () => send('bench_choria', processCalls),
      'oneshot in shell': () => send('bench_shell', processCalls),
      'persistent in Python': () => send('bench_python', persistentCalls),
    };
    const rates: Record<string, number[]> = {};
    for (let round = 0; round < rounds; round += 1)
      for (const [name, measure] of Object.entries(subjects)) rates[name] = [...(rates[name] ?? []), await measure()];
    const rate = (name: string) => median(rates[name] ?? []);
    const [floor, old] = [rate('bare spawn with three files (floor)'), rate('agent of Choria in Python')];
    const rows: Row[] = [
      { what: 'bare spawn with three files (floor)', median: floor, unit: 'runs/s' },
      {
        what: 'agent of Choria in Python',
        median: old,
        unit: 'requests/s',
        ratio: old / floor,
        bound: '≥ 0.8 of it',
        met: old / floor >= 0.8,
      },
      { what: 'oneshot in shell', median: rate('oneshot in shell'), unit: 'requests/s' },
      {
        what: 'persistent in Python',
        median: rate('persistent in Python'),
        unit: 'requests/s',
        ratio: rate('persistent in Python') / old,
        bound: '≥ 40 of Choria’s',
        met: rate('persistent in Python') / old >= 40,
      },
    ];
    report(
      'external-agents',
      `${atOnce} processes or 64 calls at once, ${rounds} rounds, Node ${process.version}, ${python}`,
      rows,
    );
  } finally {
    await fleet.stop();
    remove();
  }
}

async function bare(executable: string): Promise<number> {
  let left = processCalls;
  const started = performance.now();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (left-- > 0)
        await runOnce(executable, {
          protocol: 'io.choria.mcorpc.external.v1.rpc_request',
          agent: 'bench_choria',
          action: 'say',
          data: {},
        });
    }),
  );
  return processCalls / ((performance.now() - started) / 1000);
}

/** The program of the Choria agent. */
function writeAgents(path: string, python: string): string {
  const folder = join(path, 'mcollective/agent');
  mkdirSync(folder, { recursive: true });
  const executable = join(folder, 'bench_choria');
  writeFileSync(executable, choria(python));
  chmodSync(executable, 0o755);
  writeFileSync(`${executable}.json`, JSON.stringify(ddl('bench_choria', 'external')));
  const manifest = (name: string, rest: string) =>
    `bundle: ${name}\nversion: 1.0.0\nplugins:\n  - { kind: agent, name: ${name}, ${rest}, resources: { ddl: ./ddl.json } }\n`;
  const bundles = join(path, 'bundles');
  writeBundle(bundles, 'bench_python', manifest('bench_python', `runner: persistent, command: ["${python}", ./agent.py]`), {
    'agent.py':
      'from muster_plugin import Agent\nagent = Agent("bench_python")\n@agent.action\ndef say(data, call):\n    return {"said": "it"}\nagent.run()\n',
    'ddl.json': JSON.stringify(ddl('bench_python')),
  });
  writeBundle(bundles, 'bench_shell', manifest('bench_shell', 'runner: oneshot, command: [sh, ./agent.sh]'), {
    'agent.sh': `echo '{"statuscode":0,"statusmsg":"OK","data":{"said":"it"}}'\n`,
    'ddl.json': JSON.stringify(ddl('bench_shell')),
  });
  return executable;
}
