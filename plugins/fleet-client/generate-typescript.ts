// A typed client in TypeScript, from the DDL of its agent: one file, which needs `muster/client`.

import type { ActionItem, AgentDDL, InputItem, OutputItem } from '../wire/ddl.ts';

const lineWidth = 120;
/** Members that every client has already. */
const takenMethods: ReadonlySet<string> = new Set(['constructor', 'call']);
const takenClasses: ReadonlySet<string> = new Set(['AgentClient', 'FleetClient']);
const types: Readonly<Record<string, string>> = {
  string: 'string',
  integer: 'number',
  int: 'number',
  number: 'number',
  float: 'number',
  boolean: 'boolean',
  hash: 'Readonly<Record<string, unknown>>',
  array: 'readonly unknown[]',
};

/** @param command what made it, for the first line */
export function typescriptClient(ddl: AgentDDL, command: string): string {
  const { metadata, actions } = ddl;
  const short = `${pascal(metadata.name)}Client`;
  const name = takenClasses.has(short) ? `${pascal(metadata.name)}AgentClient` : short;
  const sorted = [...actions].sort((a, b) => (a.action < b.action ? -1 : 1));
  const methods = methodNames(sorted.map(({ action }) => action));
  const [first] = sorted;
  const example = first ? `${methods.get(first.action)}(${requiredInputs(first).length > 0 ? '{ … }' : '{}'})` : '…';
  return `// Client of the agent \`${metadata.name}\`, version ${oneLine(metadata.version)}. Made by \`${command}\`: make it anew, don't edit it.

import { type ActionCall, type ActionOptions, AgentClient, type FleetClient } from 'muster/client';

${sorted.map((action) => actionTypes(action, typeName(action, methods))).join('\n')}
/**
${comment(
  [
    metadata.description,
    '',
    `    const ${camel(metadata.name)} = new ${name}(fleet);`,
    `    const { replies, statistics } = await ${camel(metadata.name)}.${example}.result();`,
    `    for await (const reply of ${camel(metadata.name)}.${example}) console.log(reply.sender, reply.statusmsg);`,
    '',
    `Version ${metadata.version}, ${metadata.license}, by ${metadata.author}; ${metadata.url}. An action may take ${metadata.timeout} s.`,
  ],
  '',
)}
 */
export class ${name} extends AgentClient {
  constructor(fleet: FleetClient) {
    super(fleet, ddl);
  }
${sorted.map((action) => method(action, methods.get(action.action) ?? '', typeName(action, methods))).join('')}}

const ddl: unknown = JSON.parse(${literal(JSON.stringify(ddl))});
`;
}

function typeName({ action }: ActionItem, methods: ReadonlyMap<string, string>): string {
  return pascal(methods.get(action) ?? '');
}

function actionTypes(action: ActionItem, name: string): string {
  const inputs = Object.entries(action.input).sort(([a], [b]) => (a < b ? -1 : 1));
  const outputs = Object.entries(action.output).sort(([a], [b]) => (a < b ? -1 : 1));
  return `/** Input of \`${oneLine(action.action)}\`. */
${typeText(
  `${name}Input`,
  inputs.map(([key, item]) => inputField(key, item)),
  'never',
)}

/** What a node tells that did \`${oneLine(action.action)}\`. */
${typeText(
  `${name}Output`,
  outputs.map(([key, item]) => outputField(key, item)),
  'unknown',
)}
`;
}

/** Without fields, an interface would take anything. */
function typeText(name: string, fields: readonly string[], nothing: 'never' | 'unknown'): string {
  if (fields.length === 0) return `export type ${name} = Readonly<Record<string, ${nothing}>>;`;
  return `export interface ${name} {${fields.join('')}\n}`;
}

function inputField(key: string, item: InputItem): string {
  const rules = [
    ...(hasDefault(item) ? [`Default ${JSON.stringify(item.default)}.`] : []),
    ...(item.maxlength ? [`At most ${item.maxlength} bytes.`] : []),
    ...(item.maxlength && item.validation ? [`Has to fit \`${item.validation}\`.`] : []),
  ];
  return field(key, `${sentence(item.description)} ${rules.join(' ')}`, item.optional || hasDefault(item), inputType(item));
}

function outputField(key: string, item: OutputItem): string {
  return field(key, sentence(item.description), !hasDefault(item), types[(item.type ?? '').toLowerCase()] ?? 'unknown');
}

function field(key: string, description: string, optional: boolean, type: string): string {
  const text = description.trim() === '' ? '' : `\n  /** ${oneLine(description)} */`;
  return `${text}\n  readonly ${propertyName(key)}${optional ? '?' : ''}: ${type};`;
}

function inputType({ type, list }: InputItem): string {
  if (type.toLowerCase() === 'list') return list && list.length > 0 ? list.map(literal).join(' | ') : 'never';
  return types[type.toLowerCase()] ?? 'unknown';
}

function method(action: ActionItem, name: string, type: string): string {
  const summaries = [...new Set((action.aggregate ?? []).map(({ args }) => (args as readonly unknown[])[0]))]
    .filter((output) => typeof output === 'string')
    .map(literal)
    .join(' | ');
  const result = summaries === '' ? `ActionCall<${type}Output>` : `ActionCall<${type}Output, ${summaries}>`;
  const input = requiredInputs(action).length > 0 ? `input: ${type}Input` : `input: ${type}Input = {}`;
  return `
  /**
${comment([action.description, '', '@throws DdlError if the input does not fit; the call itself throws what callRpc throws'], '  ')}
   */
  ${name}(${input}, options: ActionOptions = {}): ${result} {
    return this.call(${literal(action.action)}, input, options);
  }
`;
}

function requiredInputs({ input }: ActionItem): string[] {
  return Object.keys(input).filter((key) => !input[key]?.optional && !hasDefault(input[key] ?? {}));
}

function hasDefault({ default: value }: { readonly default?: unknown }): boolean {
  return value !== undefined && value !== null;
}

/** A method for each action; where a name is taken or two become the same, a tail tells them apart. */
function methodNames(actions: readonly string[]): Map<string, string> {
  const used = new Set(takenMethods);
  return new Map(
    actions.map((action) => {
      let name = camel(action);
      while (used.has(name)) name = `${name}Action`;
      used.add(name);
      return [action, name];
    }),
  );
}

function pascal(name: string): string {
  const joined = name
    .split(/[^A-Za-z0-9]+/)
    .filter((part) => part !== '')
    .map((part) => part.charAt(0).toUpperCase() + part.slice(1))
    .join('');
  return /^[A-Za-z]/.test(joined) ? joined : `Agent${joined}`;
}

function camel(name: string): string {
  const text = pascal(name);
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function propertyName(key: string): string {
  return /^[A-Za-z_$][\w$]*$/.test(key) ? key : literal(key);
}

/** A string literal in single quotes. */
function literal(text: string): string {
  const quoted = JSON.stringify(text).slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'");
  return `'${quoted.replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029')}'`;
}

function sentence(text: string): string {
  const trimmed = text.trim();
  return trimmed === '' || /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`;
}

/** Safe within a comment. */
function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').replaceAll('*/', '*\u2060/').trim();
}

function comment(lines: readonly string[], margin: string): string {
  return lines
    .flatMap((line) => (line.startsWith('    ') ? [line.replaceAll('*/', '*\u2060/')] : wrap(oneLine(line))))
    .map((line) => `${margin} * ${line}`.trimEnd())
    .join('\n');
}

function wrap(text: string): string[] {
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines.at(-1) ?? '';
    if (last !== '' && last.length + word.length + 1 > lineWidth) lines.push(word);
    else lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
  }
  return lines;
}
