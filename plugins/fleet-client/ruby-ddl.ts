// DDLs in the Ruby form that clients before Choria's JSON DDLs read.

import type { ActionItem, AgentDDL, InputItem } from '../wire/ddl.ts';

const namedValidators: readonly string[] = ['shellsafe', 'ipv4address', 'ipv6address', 'ipaddress'];

export function rubyDdl({ metadata, actions }: AgentDDL): string {
  const { name, description, author, license, version, url, provider, service, timeout } = metadata;
  const head = call('metadata', [
    [':name', text(name)],
    [':description', text(description)],
    [':author', text(author)],
    [':license', text(license)],
    [':version', text(version)],
    [':url', text(url)],
    ...(provider ? [[':provider', text(provider)] as const] : []),
    ...(service ? [[':service', 'true'] as const] : []),
    [':timeout', String(timeout)],
  ]);
  return [head, ...actions.map(actionText)].join('\n\n');
}

function actionText({ action, description, display, input, output, aggregate = [] }: ActionItem): string {
  const parts = [
    `display :${display ?? 'failed'}`,
    ...Object.entries(input).map(([name, item]) => inputText(name, item)),
    ...Object.entries(output).map(([name, item]) =>
      call(`output :${name},`, [
        [':description', text(item.description)],
        ...(item.default !== undefined ? [[':default', value(item.default)] as const] : []),
        ...(item.type ? [[':type', text(item.type)] as const] : []),
        [':display_as', text(item.display_as)],
      ]),
    ),
    ...(aggregate.length > 0 ? [`summarize do\n${aggregate.map(aggregateText).join('\n')}\nend`] : []),
  ];
  return `action ${text(action)}, :description => ${text(description)} do\n${parts.map(indented).join('\n\n')}\nend`;
}

function inputText(name: string, item: InputItem): string {
  return call(`input :${name},`, [
    [':prompt', text(item.prompt)],
    [':description', text(item.description)],
    [':type', `:${item.type.toLowerCase()}`],
    ...(item.default !== undefined ? [[':default', value(item.default)] as const] : []),
    ...(item.type === 'string'
      ? [[':validation', validatorText(item.validation)] as const, [':maxlength', String(item.maxlength ?? 0)] as const]
      : []),
    ...(item.type === 'list' ? [[':list', value(item.list ?? [])] as const] : []),
    [':optional', String(item.optional)],
  ]);
}

function aggregateText({ function: name, args }: { function: string; args: readonly unknown[] }): string {
  const [output, options] = args;
  const given =
    typeof options === 'object' && options !== null
      ? Object.entries(options).map(([key, item]) => `, :${/^\w+$/.test(key) ? key : text(key)} => ${value(item)}`)
      : [];
  return `  aggregate ${name}(:${String(output)}${given.join('')})`;
}

function validatorText(validation: string | undefined): string {
  if (!validation) return "'.'";
  return namedValidators.includes(validation) ? `:${validation}` : text(validation);
}

/** `word :key => value, …`, a pair a line, aligned. */
function call(word: string, pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(...pairs.map(([key]) => key.length));
  const margin = ' '.repeat(word.length + 1);
  return `${word} ${pairs.map(([key, item]) => `${key.padEnd(width)} => ${item}`).join(`,\n${margin}`)}`;
}

function value(item: unknown): string {
  if (item === null) return 'nil';
  if (typeof item === 'string') return text(item);
  if (Array.isArray(item)) return `[${item.map(value).join(', ')}]`;
  if (typeof item === 'object')
    return `{${Object.entries(item)
      .map(([key, inner]) => `${text(key)} => ${value(inner)}`)
      .join(', ')}}`;
  return String(item);
}

/** Single quotes, in which Ruby interpolates nothing. */
function text(item: string): string {
  return `'${item.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}

function indented(block: string): string {
  return block.replaceAll(/^(?=.)/gm, '  ');
}
