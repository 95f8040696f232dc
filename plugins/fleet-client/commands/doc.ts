// `plugin doc`: DDLs as people read them.

import { type ActionItem, type AgentDDL, type DataDDL, type InputItem, readDataDdl, readDdl } from '../../wire/ddl.ts';
import { plainTable } from '../../wire/table.ts';
import { libdirsOf } from '../config.ts';
import { type FoundDdl, findDataDdl, findDdl, listDdls } from '../ddls.ts';
import { type CommandContext, toJson } from './context.ts';

type Output = ActionItem['output'];

export async function doc(context: CommandContext): Promise<number> {
  const { host, client, options, print } = context;
  const libdirs = libdirsOf(client.config);
  const given = context.arguments.name;
  if (typeof given !== 'string') {
    await print(await list(context, libdirs));
    return 0;
  }
  const [kind, name] = given.includes('/')
    ? [given.slice(0, given.indexOf('/')), given.slice(given.indexOf('/') + 1)]
    : ['', given];
  if (!['', 'agent', 'data'].includes(kind))
    throw new Error(`there are agents and data plugins to read about, not ${kind}; write agent/${name} or data/${name}`);
  const isData =
    kind === 'data' || (kind === '' && !(await isAgent(context, name, libdirs)) && (await isSource(context, name, libdirs)));
  const markdown = options.markdown === true;
  const show = async (ddl: object, text: string) => print(options.json ? toJson(ddl) : text);
  if (isData) {
    const ddl = await findDataDdl(host, name, libdirs);
    await show(ddl, dataText(ddl, markdown));
  } else {
    const ddl = await findDdl(host, name, libdirs);
    await show(ddl, agentText(ddl, markdown));
  }
  return 0;
}

async function isAgent({ host }: CommandContext, name: string, libdirs: readonly string[]): Promise<boolean> {
  return (await listDdls(host, 'agent', libdirs)).some((found) => found.name === name);
}

async function isSource({ host }: CommandContext, name: string, libdirs: readonly string[]): Promise<boolean> {
  return (await listDdls(host, 'data', libdirs)).some((found) => found.name === name);
}

async function list({ host, options }: CommandContext, libdirs: readonly string[]): Promise<string> {
  const found = [...(await listDdls(host, 'agent', libdirs)), ...(await listDdls(host, 'data', libdirs))];
  const rows = found.map((entry) => ({ plugin: `${entry.kind}/${entry.name}`, ...summaryOf(entry) }));
  if (options.json) return toJson(rows);
  const table = plainTable(['plugin', 'version', 'description']);
  for (const { plugin, version, description } of rows) table.push([plugin, version, description]);
  return table.toString();
}

/** A document that can't be read is told of in its place, and keeps nobody from reading the others. */
function summaryOf({ kind, load, origin }: FoundDdl): { version: string; description: string } {
  try {
    const { version, description } = (kind === 'agent' ? readDdl : readDataDdl)(load(), origin).metadata;
    return { version, description };
  } catch (error) {
    return { version: '', description: `unreadable: ${(error as Error).message}` };
  }
}

function agentText({ metadata, actions }: AgentDDL, markdown: boolean): string {
  const sections = [...actions]
    .sort((a, b) => (a.action < b.action ? -1 : 1))
    .map((action) => actionText(metadata.name, action, markdown));
  return [head(`Agent ${metadata.name}`, metadata, markdown), ...sections].join('\n\n');
}

function dataText({ metadata, query, output }: DataDDL, markdown: boolean): string {
  const takes = query ? [inputText('query', query as InputItem, markdown)] : [`${markdown ? '' : '  '}It takes no query.`];
  const [first = 'value'] = Object.keys(output);
  const usage = `muster find -S '${metadata.name}(${query ? '"…"' : ''}).${first} != nil'`;
  return [
    head(`Data plugin ${metadata.name}`, metadata, markdown),
    markdown ? `\`${usage}\`` : `    $ ${usage}`,
    title('Query', markdown),
    ...takes,
    title('Tells', markdown),
    outputsText(output, markdown),
  ].join('\n\n');
}

function head(
  name: string,
  { description, version, author, license, timeout, url }: AgentDDL['metadata'],
  markdown: boolean,
): string {
  const facts = `version ${version}, ${license}, by ${author}, ${timeout} s, ${url}`;
  return markdown ? `# ${name}\n\n${description}\n\n${facts}` : `${name}: ${description}\n  ${facts}`;
}

function actionText(
  agent: string,
  { action, description, display, input, output, aggregate }: ActionItem,
  markdown: boolean,
): string {
  const inputs = Object.entries(input).sort(([a], [b]) => (a < b ? -1 : 1));
  const usage = `muster req ${agent} ${action}${inputs.map(([name, { optional }]) => (optional ? ` [${name}=…]` : ` ${name}=…`)).join('')}`;
  const parts = [
    markdown ? `## ${action}\n\n${description}\n\n\`${usage}\`` : `Action ${action}: ${description}\n\n    $ ${usage}`,
    ...(inputs.length > 0
      ? [title('Inputs', markdown), inputs.map(([name, item]) => inputText(name, item, markdown)).join('\n')]
      : []),
    ...(Object.keys(output).length > 0 ? [title('Outputs', markdown), outputsText(output, markdown)] : []),
    `${markdown ? '' : '  '}Shows ${{ ok: 'successful', failed: 'failed', always: 'all' }[display ?? 'failed'] ?? 'failed'} replies${aggregate?.length ? `, and a summary of ${aggregate.map(({ args }) => String((args as readonly unknown[])[0])).join(', ')}` : ''}.`,
  ];
  return parts.join('\n\n');
}

function title(text: string, markdown: boolean): string {
  return markdown ? `### ${text}` : `  ${text}:`;
}

function inputText(name: string, item: InputItem, markdown: boolean): string {
  const rules = [
    item.type,
    item.optional ? 'optional' : 'required',
    ...(item.default !== undefined && item.default !== null ? [`default ${JSON.stringify(item.default)}`] : []),
    ...(item.validation ? [`matches ${item.validation}`] : []),
    ...(item.maxlength ? [`at most ${item.maxlength} characters`] : []),
    ...(item.list ? [`one of ${item.list.join(', ')}`] : []),
  ].join(', ');
  return markdown ? `- \`${name}\` (${rules}): ${item.description}` : `    ${name}: ${item.description}\n      ${rules}`;
}

function outputsText(output: Output, markdown: boolean): string {
  return Object.entries(output)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, { description, type }]) => {
      const typed = type ? ` (${type})` : '';
      return markdown ? `- \`${name}\`${typed}: ${description}` : `    ${name}${typed}: ${description}`;
    })
    .join('\n');
}
