// The program `opa`: what it makes of a policy, and what it says of one that it can't make anything of. It runs with fixed
// arguments, without an environment, in a folder of its own.

import {
  accessSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { delimiter, join, resolve } from 'node:path';
import { type Host, PluginError } from '../../core/sdk/typescript/index.ts';
import { capabilities, type Dialect, maxModuleBytes, maxPolicyBytes, type PolicyUse, uses } from '../wire/rego/policy-use.ts';
import { fileInTar } from './tar.ts';

export type Compiled =
  | { readonly ok: true; readonly dialect: Dialect; readonly module: Uint8Array }
  | { readonly ok: false; readonly error: 'compile' | 'no_result'; readonly reason: string };

/** The compiler is not there or did not do its work: nothing is known of the policy. */
export class CompilerError extends Error {
  override readonly name = 'CompilerError';
  readonly code: 'POLICY_NO_COMPILER' | 'POLICY_COMPILER';

  constructor(code: CompilerError['code'], message: string) {
    super(message);
    this.code = code;
  }
}

const limitMs = 10_000;
/** Of its words, for people. */
const maxReason = 1_000;
const sourceName = 'policy.rego';

interface Program {
  readonly path: string;
  readonly version: string;
  /** Of the file, so that another one in its place is noticed. */
  readonly stamp: string;
}

export class Opa {
  readonly #host: Host;
  readonly #name: string;
  readonly #folder: string;
  #program: Promise<Program> | undefined;

  constructor(host: Host, name: string, folder: string) {
    this.#host = host;
    this.#name = name;
    this.#folder = folder;
  }

  /** Name and version of the program that is there now; undefined if there is none. @throws CompilerError */
  async version(signal?: AbortSignal): Promise<string | undefined> {
    const path = findProgram(this.#name);
    if (path === undefined) return undefined;
    const stamp = stampOf(path);
    const known = await this.#program?.catch(() => undefined);
    if (known?.path === path && known.stamp === stamp) return known.version;
    this.#program = this.#ask(path, stamp, signal);
    return (await this.#program).version;
  }

  /** @throws CompilerError */
  async compile(policy: string, use: PolicyUse, entrypoints: readonly string[] = [uses[use].entrypoint]): Promise<Compiled> {
    if (Buffer.byteLength(policy) > maxPolicyBytes)
      return { ok: false, error: 'compile', reason: `it has more than ${maxPolicyBytes} bytes` };
    const first = await this.compileAs('v1', policy, use, entrypoints);
    if (first.ok || first.error === 'no_result') return first;
    const second = await this.compileAs('v0', policy, use, entrypoints);
    if (second.ok) return second;
    // Of a policy in the old syntax the new one only says that it is old.
    return /`if` keyword is required|`contains` keyword is required/.test(first.reason) ? second : first;
  }

  /** @throws CompilerError */
  async compileAs(dialect: Dialect, policy: string, use: PolicyUse, entrypoints: readonly string[]): Promise<Compiled> {
    const folder = this.#folderWith(policy, use);
    try {
      const entries = entrypoints.flatMap((entrypoint) => ['-e', entrypoint]);
      const old = dialect === 'v0' ? ['--v0-compatible'] : [];
      const { exitCode, stderr, stdout } = await this.#run(
        ['build', '-t', 'wasm', ...entries, ...old, '--capabilities', 'capabilities.json', '-o', 'bundle.tar.gz', sourceName],
        folder,
      );
      if (exitCode !== 0) return failed(`${stderr}${stdout}`, use);
      return { ok: true, dialect, module: moduleIn(join(folder, 'bundle.tar.gz')) };
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  /** The syntax tree with lines. @throws CompilerError */
  async parse(policy: string, use: PolicyUse, dialect: Dialect): Promise<unknown> {
    const folder = this.#folderWith(policy, use);
    try {
      const old = dialect === 'v0' ? ['--v0-compatible'] : [];
      const { exitCode, stdout } = await this.#run(
        ['parse', '--format', 'json', '--json-include', 'locations', ...old, sourceName],
        folder,
      );
      return exitCode === 0 ? JSON.parse(stdout) : undefined;
    } catch (error) {
      // What is longer than what is kept of its output is not explained.
      if (error instanceof SyntaxError) return undefined;
      throw error;
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  }

  #folderWith(policy: string, use: PolicyUse): string {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const folder = mkdtempSync(join(this.#folder, 'compile-'));
    writeFileSync(join(folder, sourceName), policy, { mode: 0o600 });
    writeFileSync(join(folder, 'capabilities.json'), capabilities[use], { mode: 0o600 });
    return folder;
  }

  async #ask(path: string, stamp: string, signal?: AbortSignal): Promise<Program> {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const { exitCode, stdout } = await this.#runProgram([path, 'version'], this.#folder, signal);
    const version = /^Version: (\S+)/m.exec(stdout)?.[1];
    if (exitCode !== 0 || version === undefined)
      throw new CompilerError(
        'POLICY_COMPILER',
        `${path} does not tell its version as opa does; name opa with plugin.muster.opa`,
      );
    if (Number.parseInt(version, 10) < 1)
      throw new CompilerError('POLICY_COMPILER', `${path} is opa ${version}, and policies are compiled by 1.0 or later`);
    return { path, stamp, version: `opa ${version}` };
  }

  async #run(args: readonly string[], folder: string): Promise<{ exitCode: number | null; stdout: string; stderr: string }> {
    const path = findProgram(this.#name);
    if (path === undefined)
      throw new CompilerError('POLICY_NO_COMPILER', `there is no program ${this.#name}; plugin.muster.opa names opa`);
    const ended = await this.#runProgram([path, ...args], folder);
    if (ended.exitCode === null)
      throw new CompilerError(
        'POLICY_COMPILER',
        `${path} was ended by ${ended.signal ?? 'something'} while it compiled the policy`,
      );
    return ended;
  }

  async #runProgram(command: readonly string[], cwd: string, signal?: AbortSignal) {
    try {
      return await this.#host.processes.run({ command, cwd, env: {} }, { deadlineMs: limitMs, ...(signal && { signal }) });
    } catch (error) {
      if (!(error instanceof PluginError)) throw error;
      const problem = error.code === 'DEADLINE' ? `took longer than ${limitMs / 1_000} s and was ended` : error.message;
      throw new CompilerError('POLICY_COMPILER', `the compiler of policies ${command[0]} ${problem}`);
    }
  }
}

/** What is wrong with the policy. @throws CompilerError for what is wrong with the compiler or the machine, such as a full disk */
function failed(output: string, use: PolicyUse): Compiled {
  if (/does not refer to a rule or policy decision/.test(output))
    return { ok: false, error: 'no_result', reason: `it has no rule allow in the package ${uses[use].package}` };
  const words = output
    .replace(/^error: (?:load error: )?/, '')
    .replaceAll(/^\d+ errors? occurred(?: during loading)?:\s*/gm, '')
    .replaceAll(`${sourceName}:`, 'line ')
    .trim();
  const reason = (words === '' ? 'it does not say why' : words).slice(0, maxReason);
  if (/\brego_\w*error\b/.test(reason)) return { ok: false, error: 'compile', reason };
  throw new CompilerError('POLICY_COMPILER', `the compiler of policies failed: ${reason}`);
}

function moduleIn(file: string): Uint8Array {
  try {
    const module = fileInTar(readFileSync(file), 'policy.wasm', maxModuleBytes * 2);
    if (module !== undefined && module.length > 0 && module.length <= maxModuleBytes) return module;
  } catch {
    // Said below.
  }
  throw new CompilerError('POLICY_COMPILER', 'what the compiler of policies wrote has no module of a sensible size in it');
}

function stampOf(path: string): string {
  const { mtimeMs, size, ino } = statSync(path);
  return `${mtimeMs} ${size} ${ino}`;
}

/** A path, or a name on PATH. */
function findProgram(name: string): string | undefined {
  const candidates = name.includes('/')
    ? [resolve(name)]
    : (process.env.PATH ?? '').split(delimiter).flatMap((folder) => (folder === '' ? [] : [join(folder, name)]));
  return candidates.find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(realpathSync(path)).isFile();
  } catch {
    return false;
  }
}
