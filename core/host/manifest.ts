// A bundle.yaml: text to a checked manifest. Every problem names file, line and path.

import type { ErrorObject } from 'ajv';
import type { Document, LineCounter } from 'yaml';
import { type CommandEntry, type Manifest, type PluginEntry, validate } from '#schemas/core/manifest';
import { nearest } from '../config/nearest.ts';
import { loadYaml } from '../protocol/yaml.ts';

export interface ManifestProblem {
  readonly file: string;
  readonly line: number;
  /** Where in the document, such as `plugins.0.runner`; empty for the whole. */
  readonly path: string;
  readonly message: string;
}

export class ManifestError extends Error {
  override readonly name = 'ManifestError';
  readonly code = 'MANIFEST';
  readonly problems: readonly ManifestProblem[];

  constructor(problems: readonly ManifestProblem[]) {
    super(
      problems.map(({ file, line, path, message }) => `${file}:${line}: ${path === '' ? '' : `${path}: `}${message}`).join('\n'),
    );
    this.problems = problems;
  }
}

type Path = readonly (string | number)[];
type Located = { readonly path: Path; readonly message: string };

/** @throws ManifestError with all problems */
export function parseManifest(text: string, file: string): Manifest {
  const value = parseJson(text) ?? parseYaml(text, file).toJS();
  if (!validate(value)) throw problemsOf((validate.errors ?? []).map(explain), text, file);
  const problems = value.plugins.flatMap((entry, index) => [
    ...checkEntry(entry, ['plugins', index]),
    ...checkSwitch(value, entry, ['plugins', index, 'when']),
  ]);
  const duplicates = findDuplicates(value.plugins);
  if (problems.length + duplicates.length > 0) throw problemsOf([...problems, ...duplicates], text, file);
  return value;
}

/** JSON is YAML, and read many times faster: the build writes our own manifests so. */
function parseJson(text: string): unknown {
  if (!text.startsWith('{')) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function parseYaml(text: string, file: string, lineCounter?: LineCounter): Document {
  const { parseDocument } = loadYaml();
  const document = parseDocument(text, { ...(lineCounter && { lineCounter }), uniqueKeys: true, logLevel: 'error' });
  if (document.errors.length === 0) return document;
  throw new ManifestError(
    document.errors.map((error) => ({
      file,
      line: error.linePos?.[0].line ?? 1,
      path: '',
      message: `this is not YAML: ${error.message.split('\n')[0]}`,
    })),
  );
}

function problemsOf(located: readonly Located[], text: string, file: string): ManifestError {
  const lines = new (loadYaml().LineCounter)();
  const document = parseYaml(text, file, lines);
  return new ManifestError(
    located.map(({ path, message }) => ({ file, line: lineOf(document, lines, path), path: path.join('.'), message })),
  );
}

function checkEntry(entry: PluginEntry, at: Path): Located[] {
  const problems: Located[] = [];
  const name = `${entry.kind}/${entry.name}`;
  if (entry.runner === 'inline' && entry.module === undefined)
    problems.push({ path: at, message: `${name} is inline and needs \`module: ./file.js\`` });
  if (entry.runner === 'inline' && entry.command !== undefined)
    problems.push({
      path: [...at, 'command'],
      message: `${name} is inline and has no command; use \`runner: persistent\`, or remove it`,
    });
  if (entry.runner === 'oneshot' && entry.command === undefined)
    problems.push({ path: at, message: `${name} is oneshot and needs \`command: [program, argument …]\`` });
  if (entry.runner === 'persistent' && (entry.command === undefined) === (entry.module === undefined))
    problems.push({ path: at, message: `${name} is persistent and needs either \`command\` or \`module\`` });
  const files = [
    ...(entry.command ?? []).filter((part) => part.startsWith('./')),
    ...(entry.module ? [entry.module] : []),
    ...(entry.settings ? [entry.settings] : []),
    ...Object.values(entry.resources ?? {}),
  ];
  for (const path of files)
    if (path.split('/').includes('..')) problems.push({ path: at, message: `${path} leaves the bundle's folder` });
  return problems;
}

function checkSwitch({ config }: Manifest, { when }: PluginEntry, at: Path): Located[] {
  if (when === undefined || ['boolean', 'integer'].includes(config?.keys?.[when]?.type ?? '')) return [];
  return [{ path: at, message: `${when} must be a key of type boolean or integer under \`config: {keys: …}\`` }];
}

function findDuplicates(plugins: readonly PluginEntry[]): Located[] {
  const seen = new Set<string>();
  return plugins.flatMap(({ kind, name }, index) => {
    const key = `${kind}/${name}`;
    if (!seen.has(key)) {
      seen.add(key);
      return [];
    }
    return [{ path: ['plugins', index], message: `${key} is there twice; give one of them another name` }];
  });
}

function explain(error: ErrorObject): Located {
  const path = error.instancePath
    .split('/')
    .slice(1)
    .map((part) => (/^\d+$/.test(part) ? Number(part) : part));
  if (error.keyword === 'additionalProperties') {
    const key = String(error.params.additionalProperty);
    const known = Object.keys((error.parentSchema as { properties?: object } | undefined)?.properties ?? knownKeys);
    const suggestion = nearest(key, known);
    return {
      path: [...path, key],
      message: `${key} is not a known key here${suggestion ? `; did you mean ${suggestion}?` : ''}`,
    };
  }
  const allowed = error.keyword === 'enum' ? `: ${(error.params.allowedValues as unknown[]).join(', ')}` : '';
  return { path, message: `${error.message ?? 'is not valid'}${allowed}` };
}

// biome-ignore format: a list of words
const knownKeys = {
  bundle: 0, version: 0, description: 0, license: 0, author: 0, homepage: 0, files: 0, contracts: 0, config: 0, plugins: 0,
  kind: 0, name: 0, runner: 0, command: 0, module: 0, settings: 0, start: 0, when: 0, resources: 0, needs: 0, limits: 0, commands: 0,
  concurrency: 0, queue: 0, deadlineMs: 0, idleMs: 0, graceMs: 0, maxLineBytes: 0,
  bus: 0, kv: 0, objects: 0, announce: 0, process: 0, env: 0, events: 0, timers: 0, metrics: 0, traces: 0, terminal: 0, host: 0, hosts: 0, state: 0,
  keys: 0, uses: 0, project: 0, serves: 0, loads: 0, connections: 0, open: 0, publish: 0, subscribe: 0, emit: 0,
};

/** The line of the node at a path, or of the nearest one above it that exists. */
function lineOf(document: Document, lines: LineCounter, path: Path): number {
  const { isMap, isNode } = loadYaml();
  for (let length = path.length; length >= 0; length -= 1) {
    const parent = document.getIn(path.slice(0, length - 1), true);
    const key = path[length - 1];
    const pair = isMap(parent) ? parent.items.find((item) => String(item.key) === String(key)) : undefined;
    const node = pair && isNode(pair.key) ? pair.key : document.getIn(path.slice(0, length), true);
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return 1;
}

export type { CommandEntry, Manifest, PluginEntry };
