// `plugin new`: writes a bundle from the templates of a language. A kind without a template of its own gets one method
// for each of its contract, answering with the least that the contract accepts.

import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative, resolve } from 'node:path';
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

const manifest = 'bundle.yaml.template';
const folders: Readonly<Record<string, string>> = {
  ts: 'typescript',
  typescript: 'typescript',
  python: 'python',
  shell: 'shell',
  sh: 'shell',
};

/** @throws Error that says what is wrong with kind, name or language */
export function newBundle({ root, kind, name, language, into }: NewBundle): void {
  const folder = folders[language];
  if (!folder) throw new Error(`there is no template for ${language}; there are ts, python and shell`);
  if (!/^[a-z][a-z0-9_]{0,62}$/.test(name))
    throw new Error(`'${name}' is no good name: lower-case letters, digits and underscores, a letter first`);
  const target = resolve(into, name);
  if (existsSync(target)) throw new Error(`${target} is already there; choose another name or folder`);
  const own = join(root, 'core/sdk', folder, 'templates', kind);
  const contractFile = join(root, 'ddl/contracts', `${kind}.json`);
  if (!existsSync(own) && !existsSync(contractFile))
    throw new Error(`there is no kind ${kind}; there are ${kindsOf(root).join(', ')}`);
  const template = existsSync(own) ? own : join(root, 'core/sdk', folder, 'templates/any');
  const methods = existsSync(contractFile)
    ? renderMethods(JSON.parse(readFileSync(contractFile, 'utf8')) as Contract, folder)
    : '';
  const fill = (text: string) =>
    text.replaceAll('{{name}}', name).replaceAll('{{kind}}', kind).replaceAll('{{methods}}', methods);
  const files = filesOf(template);
  const written = (file: string) => fill(file).replace(/\.template$/, '');
  // The manifest last: a host that watches the folder looks at it when everything else is there.
  for (const file of [...files.filter((path) => path !== manifest), manifest]) {
    const path = join(target, written(file));
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, fill(readFileSync(join(template, file), 'utf8')));
    if (path.endsWith('.sh')) chmodSync(path, 0o755);
  }
  process.stdout.write(
    `${target} is written:\n${files.map((file) => `  ${written(file)}\n`).join('')}\nTest it with: muster plugin test ${relative(process.cwd(), target) || '.'}\n`,
  );
}

function kindsOf(root: string): string[] {
  return readdirSync(join(root, 'ddl/contracts')).map((file) => file.replace(/\.json$/, ''));
}

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.template'));
}

function renderMethods({ methods }: Contract, language: string): string {
  return Object.entries(methods)
    .map(
      ([method, { description, result }]) => renderers[language]?.(method, description, JSON.stringify(sampleOf(result))) ?? '',
    )
    .join('');
}

const renderers: Readonly<Record<string, (method: string, description: string, sample: string) => string>> = {
  typescript: (method, description, sample) =>
    `    // ${description}\n    '${method}': (_params: Record<string, unknown>) => (${sample}),\n`,
  python: (method, description, sample) =>
    `\n@plugin.method("${method}")\ndef ${method.replace(/\W/g, '_')}(params, call):\n    """${description}"""\n    return json.loads('${sample}')\n\n`,
  shell: (method, description, sample) => `  ${method})\n    # ${description}\n    printf '%s\\n' '${sample}'\n    ;;\n`,
};
