// `plugin new`: writes a bundle from the templates of a language. A kind without a template of its own gets one method
// for each of its contract, answering with the least that the contract accepts.

import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { sampleOf } from '../conformance/sample.ts';

export interface NewBundle {
  readonly root: string;
  readonly kind: string;
  readonly name: string;
  readonly language: string;
  /** Folder that the bundle's folder is made in. */
  readonly into: string;
}

interface Contract {
  readonly methods: Readonly<Record<string, { readonly description: string; readonly from?: string; readonly result: object }>>;
}

interface Language {
  /** Below core/sdk. */
  readonly folder: string;
  readonly method: (method: string, description: string, sample: string) => string;
  /** The command line that makes the program, for what is compiled. */
  readonly build?: (folder: string, name: string) => string;
}

const typescript: Language = {
  folder: 'typescript',
  method: (method, description, sample) =>
    `    // ${description}\n    '${method}': (_params: Record<string, unknown>) => (${sample}),\n`,
};
const shell: Language = {
  folder: 'shell',
  method: (method, description, sample) => `  ${method})\n    # ${description}\n    printf '%s\\n' '${sample}'\n    ;;\n`,
};

/** By what `--lang` may say. */
const languages: Readonly<Record<string, Language>> = {
  ts: typescript,
  python: {
    folder: 'python',
    method: (method, description, sample) =>
      `\n@plugin.method("${method}")\ndef ${method.replace(/\W/g, '_')}(params, call):\n    """${description}"""\n    return json.loads('${sample}')\n\n`,
  },
  go: {
    folder: 'go',
    method: (method, description, sample) =>
      `\t// ${description}\n\tplugin.Handle("${method}", func(ctx context.Context, params json.RawMessage, call *muster.Call) (any, error) {\n\t\treturn json.RawMessage(\`${sample}\`), nil\n\t})\n`,
    build: (folder, name) => `go build -C ${folder} -o ${name} .`,
  },
  rust: {
    folder: 'rust',
    method: (method, description, sample) =>
      `    // ${description}\n    plugin.handle("${method}", |_params: Value, _call| Ok(json!(${sample})));\n`,
    build: (folder, name) =>
      `cargo build --release --manifest-path ${folder}/Cargo.toml && cp ${folder}/target/release/${name} ${folder}/`,
  },
  ruby: {
    folder: 'ruby',
    method: (method, description, sample) =>
      `\n# ${description}\nplugin.handle("${method}") do |_params, _call|\n  JSON.parse('${sample}')\nend\n`,
  },
  shell,
  typescript,
  sh: shell,
};
const manifest = 'bundle.yaml.template';

/** @throws Error that says what is wrong with kind, name or language */
export function newBundle({ root, kind, name, language: chosen, into }: NewBundle): void {
  const language = Object.hasOwn(languages, chosen) ? languages[chosen] : undefined;
  if (!language) throw new Error(`there is no template for ${chosen}; there are ts, python, go, rust, ruby and shell`);
  if (!/^[a-z][a-z0-9_]{0,62}$/.test(name))
    throw new Error(`'${name}' is no good name: lower-case letters, digits and underscores, a letter first`);
  const target = resolve(into, name);
  if (existsSync(target)) throw new Error(`${target} is already there; choose another name or folder`);
  const sdk = join(root, 'core/sdk', language.folder);
  const contractFile = join(root, 'ddl/contracts', `${kind}.json`);
  const own = join(sdk, 'templates', kind);
  if (!existsSync(own) && !existsSync(contractFile))
    throw new Error(`there is no kind ${kind}; there are ${kindsOf(root).join(', ')}`);
  const methods = existsSync(contractFile)
    ? renderMethods(JSON.parse(readFileSync(contractFile, 'utf8')) as Contract, language)
    : '';
  const fill = (text: string) =>
    text
      .replaceAll('{{name}}', name)
      .replaceAll('{{kind}}', kind)
      // Quoted, since a path may hold anything.
      .replaceAll('{{sdk}}', JSON.stringify(sdk))
      .replaceAll('{{methods}}', methods);
  const folders = [join(root, 'core/sdk/templates', kind), existsSync(own) ? own : join(sdk, 'templates/any')];
  const files = folders.filter(existsSync).flatMap((from) => filesOf(from).map((file) => ({ from, file })));
  const written = (file: string) => fill(file).replace(/\.template$/, '');
  // The manifest last: a host that watches the folder looks at it when everything else is there.
  for (const { from, file } of [
    ...files.filter((entry) => entry.file !== manifest),
    { from: folders[1] ?? '', file: manifest },
  ]) {
    const path = join(target, written(file));
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, fill(readFileSync(join(from, file), 'utf8')));
    if (path.endsWith('.sh')) chmodSync(path, 0o755);
  }
  const shown = quoted(relative(process.cwd(), target) || '.');
  const list = files.map(({ file }) => `  ${written(file)}\n`).sort();
  const build = language.build ? `Build it with: ${language.build(shown, name)}\n` : '';
  process.stdout.write(`${target} is written:\n${list.join('')}\n${build}Test it with: muster plugin test ${shown}\n`);
}

/** For a shell, where that is needed. */
function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", `'\\''`)}'`;
}

function kindsOf(root: string): string[] {
  return readdirSync(join(root, 'ddl/contracts')).map((file) => file.replace(/\.json$/, ''));
}

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.template'));
}

function renderMethods({ methods }: Contract, language: Language): string {
  return Object.entries(methods)
    .map(([method, { description, result }]) => language.method(method, description, JSON.stringify(sampleOf(result))))
    .join('');
}
