// The same trivial action through one node, as agents of several kinds, against a bare spawn with three files.

import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { distributionRoot } from '../../core/host/distribution.ts';
import { Fleet } from '../support/fleet.ts';
import { temporaryFolder, until, writeBundle } from '../support/folders.ts';
import { runOnce } from './floor/spawn-files.mjs';
import { median, quantile, type Row, report } from './report.ts';
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
      load.measure(load.sign(calls, { agent, action: 'say' }), identity, calls === processCalls ? atOnce : 64);
    const subjects: Readonly<Record<string, () => Promise<Measured>>> = {
      [names.floor]: () => bare(executable),
      [names.choria]: () => send('bench_choria', processCalls),
      [names.shell]: () => send('bench_shell', processCalls),
      [names.python]: () => send('bench_python', persistentCalls),
      [names.go]: () => send('bench_go', persistentCalls),
    };
    const all = new Map<string, Measured[]>();
    for (let round = 0; round < rounds; round += 1)
      for (const [name, measure] of Object.entries(subjects)) all.set(name, [...(all.get(name) ?? []), await measure()]);
    const how = `${atOnce} processes or 64 calls at once, ${rounds} rounds, Node ${process.version}, ${python}`;
    report('external-agents', how, rowsOf(all));
  } finally {
    await fleet.stop();
    remove();
  }
}

const names = {
  floor: 'bare spawn with three files (floor)',
  choria: 'agent of Choria in Python',
  shell: 'oneshot in shell',
  python: 'persistent in Python',
  go: 'persistent in Go',
} as const;

/** Calls a second, and the milliseconds of each. */
interface Measured {
  readonly rate: number;
  readonly ms: readonly number[];
}

function rowsOf(all: ReadonlyMap<string, readonly Measured[]>): Row[] {
  const rate = (name: string) => median((all.get(name) ?? []).map((round) => round.rate));
  const [old, floor] = [rate(names.choria) / rate(names.floor), rate(names.python) / rate(names.choria)];
  const bounds: Readonly<Record<string, Partial<Row>>> = {
    [names.choria]: { ratio: old, bound: '≥ 0.8 of the floor', met: old >= 0.8 },
    [names.python]: { ratio: floor, bound: '≥ 40 of Choria’s', met: floor >= 40 },
  };
  return Object.values(names).flatMap((name) => {
    const ms = (all.get(name) ?? []).flatMap((round) => round.ms);
    return [
      { what: name, median: rate(name), unit: name === names.floor ? 'runs/s' : 'requests/s', ...bounds[name] },
      { what: '    p50', median: quantile(ms, 0.5), unit: 'ms' },
      { what: '    p99', median: quantile(ms, 0.99), unit: 'ms' },
    ];
  });
}

async function bare(executable: string): Promise<Measured> {
  const ms: number[] = [];
  let left = processCalls;
  const started = performance.now();
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (left-- > 0) {
        const begun = performance.now();
        await runOnce(executable, {
          protocol: 'io.choria.mcorpc.external.v1.rpc_request',
          agent: 'bench_choria',
          action: 'say',
          data: {},
        });
        ms.push(performance.now() - begun);
      }
    }),
  );
  return { rate: processCalls / ((performance.now() - started) / 1000), ms };
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
  const go = writeBundle(bundles, 'bench_go', manifest('bench_go', 'runner: persistent, command: [./agent]'), {
    'main.go': `package main
import ("context"; muster "muster/sdk")
func main() {
	agent := muster.NewAgent("bench_go", "1.0.0")
	agent.Action("say", func(context.Context, *muster.Request) (any, error) { return map[string]string{"said": "it"}, nil })
	agent.Run()
}
`,
    'go.mod': `module bench\n\ngo 1.21\n\nrequire muster/sdk v0.0.0\n\nreplace muster/sdk => ${join(distributionRoot(), 'core/sdk/go')}\n`,
    'ddl.json': JSON.stringify(ddl('bench_go')),
  });
  build(go);
  return executable;
}

function build(folder: string): void {
  const { error, status, stderr } = spawnSync('go', ['build', '-o', 'agent', '.'], { cwd: folder, encoding: 'utf8' });
  if (error) throw new Error('this benchmark needs Go, which is not on PATH: install it (https://go.dev/dl)');
  if (status !== 0) throw new Error(`the agent in Go could not be built: ${stderr}`);
}
