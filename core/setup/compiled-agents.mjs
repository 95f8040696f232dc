// Agents in languages that are compiled: built into `.build/agents/<name>`, beside their manifest, where the tool chain is
// there. Where it is missing, or fails, the agent is left out of `.build`, so that no node offers what it can't run.

import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { onPath } from './tools.mjs';

/** What is left behind by compilers stays in `.tools`, so that a second build is short. */
const languages = [
  {
    file: 'go.mod',
    program: 'go',
    sdk: 'core/sdk/go',
    build: (root, { source, name }) => ({
      args: ['build', '-trimpath', '-o', join(root, '.tools/go', name), '.'],
      cwd: source,
      env: { GOCACHE: join(root, '.tools/go-cache') },
      result: join(root, '.tools/go', name),
    }),
  },
  {
    file: 'Cargo.toml',
    program: 'cargo',
    sdk: 'core/sdk/rust',
    build: (root, { source, name }) => ({
      args: ['build', '--release', '--locked', '--quiet'],
      cwd: source,
      env: { CARGO_TARGET_DIR: join(root, '.tools/cargo') },
      result: join(root, '.tools/cargo/release', name),
    }),
  },
];
/** Of a bundle's folder, what is only there to be compiled. */
const sources = /(^|\/)(src|go\.(mod|sum)|Cargo\.(toml|lock)|[^/]*\.(go|rs)|target|rustfmt\.toml)$/;

export function compiledAgents(root) {
  const folder = join(root, 'agents');
  if (!existsSync(folder)) return [];
  return readdirSync(folder).flatMap((name) => {
    const source = join(folder, name);
    const language = languages.find(({ file }) => existsSync(join(source, file)));
    return language ? [{ name, source, language }] : [];
  });
}

export function buildAgents(root, log) {
  for (const agent of compiledAgents(root)) {
    const target = join(root, '.build/agents', agent.name);
    const program = join(target, agent.name);
    const newest = Math.max(newestBelow(agent.source), newestBelow(join(root, agent.language.sdk)));
    if (existsSync(program) && statSync(program).mtimeMs >= newest) continue;
    const built = compile(root, agent, log);
    rmSync(target, { recursive: true, force: true });
    if (!built) continue;
    mkdirSync(target, { recursive: true });
    cpSync(agent.source, target, { recursive: true, filter: (path) => path === agent.source || !sources.test(path) });
    cpSync(built, `${program}.new`);
    renameSync(`${program}.new`, program);
  }
}

/** @returns {string | undefined} the program */
function compile(root, agent, log) {
  const { name, language } = agent;
  if (!onPath(language.program)) {
    log(`agents/${name} is left out: it needs ${language.program}, which is not installed here.`);
    return undefined;
  }
  log(`Compiling agents/${name} …`);
  const { args, cwd, env, result } = language.build(root, agent);
  const { status } = spawnSync(language.program, args, { cwd, env: { ...process.env, ...env }, stdio: ['ignore', 2, 2] });
  if (status === 0) return result;
  log(`agents/${name} is left out: ${language.program} could not build it, and says above why.`);
  return undefined;
}

function newestBelow(folder) {
  return Math.max(...readdirSync(folder, { recursive: true }).map((name) => statSync(join(folder, name)).mtimeMs));
}
