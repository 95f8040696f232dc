// DDLs: what agents and data plugins take and tell (Choria's MCollective DDLs, version 1).

import { type ActionItem, type AgentDDL, type InputItem, validate as isOfficialAgent } from '#schemas/mcorpc/ddl/v1/agent';
import { type DataDDL, validate as isOfficialData } from '#schemas/mcorpc/ddl/v1/data';
import { DdlError, DdlObject } from './ddl-read.ts';
import { compilePattern } from './regexp.ts';

export { type ActionItem, type AgentDDL, type DataDDL, DdlError, type InputItem };
export type OutputItem = ActionItem['output'][string];

/** Seconds for an action or a data plugin whose DDL names none. */
export const defaultTimeout = 10;

const displays = ['ok', 'failed', 'always'] as const;
const namedValidators: readonly string[] = ['shellsafe', 'ipv4address', 'ipv6address', 'ipaddress'];
/** Validators that published agents brought along for themselves: nobody else checks them, and nobody expects it. */
const foreignValidators: readonly string[] = ['service_name'];

/** Marks what was read, so that hosts that share a process can share it. */
const wasRead = Symbol('read');

/** What was read before is returned as it is. @throws DdlError naming the field */
export function readDdl(value: unknown, origin: string): AgentDDL {
  if (typeof value === 'object' && value !== null && wasRead in value) return value as unknown as AgentDDL;
  const document = new DdlObject(value, origin);
  const ddl: AgentDDL = { metadata: readMetadata(document, origin), actions: document.objects('actions').map(readAction) };
  return Object.defineProperty(ddl, wasRead, { value: true });
}

/** @throws DdlError naming the field */
export function readDataDdl(value: unknown, origin: string): DataDDL {
  const document = new DdlObject(value, origin);
  return {
    metadata: readMetadata(document, origin),
    query: document.raw('query') === undefined ? null : readInput(document.object('query')),
    output: document.named('output', readOutput),
  };
}

/** What works but is not as its author may think: each a sentence. */
export function ddlWarnings(kind: 'agent' | 'data', value: unknown): string[] {
  const isOfficial = kind === 'agent' ? isOfficialAgent : isOfficialData;
  const warnings: string[] = [];
  if (!isOfficial(value)) {
    const [first] = isOfficial.errors ?? [];
    warnings.push(`${first?.instancePath.slice(1).replaceAll('/', '.') || 'the document'} ${first?.message ?? 'is not valid'}`);
  }
  const inputs =
    kind === 'agent'
      ? readDdl(value, 'it').actions.flatMap(({ action, input }) =>
          Object.entries(input).map(([name, item]) => [`the input ${action}.${name}`, item] as const),
        )
      : [['the query', readDataDdl(value, 'it').query] as const];
  for (const [what, item] of inputs) if (item) warnings.push(...inputWarnings(what, item as InputItem));
  return warnings;
}

function inputWarnings(what: string, { type, validation, maxlength, list }: InputItem): string[] {
  const warnings: string[] = [];
  if (type.toLowerCase() === 'list' && !list?.length) warnings.push(`${what} is a list without values, so that nothing fits`);
  if (type.toLowerCase() !== 'string' || !validation) return warnings;
  if (!maxlength) warnings.push(`${what} has no maxlength, so that its validation is not looked at`);
  if (foreignValidators.includes(validation)) return warnings;
  if (/^[a-z]/.test(validation) && !namedValidators.includes(validation))
    warnings.push(
      `${what} has the validation '${validation}', which is no known name, so that everything fits; patterns begin with ^ or another character than a to z`,
    );
  else if (!namedValidators.includes(validation) && !compilePattern(validation))
    warnings.push(`${what} has the validation '${validation}', which is no RE2 pattern, so that nothing fits`);
  return warnings;
}

/** @throws DdlError listing the actions there are */
export function findAction(ddl: AgentDDL, action: string): ActionItem {
  const found = ddl.actions.find((item) => item.action === action);
  if (found) return found;
  throw new DdlError(
    `unknown action ${ddl.metadata.name}#${action}; there are ${ddl.actions.map((item) => item.action).join(', ')}`,
  );
}

/** The output with the DDL's defaults for what is missing. */
export function withOutputDefaults(action: ActionItem, data: unknown): unknown {
  if (typeof data !== 'object' || data === null || Array.isArray(data)) return data;
  const defaults = Object.entries(action.output).filter(
    ([key, output]) => output.default !== undefined && output.default !== null && !Object.hasOwn(data, key),
  );
  return defaults.length === 0
    ? data
    : { ...data, ...Object.fromEntries(defaults.map(([key, output]) => [key, output.default])) };
}

function readMetadata(document: DdlObject, origin: string): AgentDDL['metadata'] {
  const metadata = document.object('metadata');
  const name = metadata.text('name');
  if (name === '') throw new DdlError(`${origin} is no DDL: metadata.name is missing`);
  const provider = metadata.text('provider');
  return {
    name,
    description: metadata.text('description'),
    author: metadata.text('author'),
    license: metadata.text('license'),
    version: metadata.text('version'),
    url: metadata.text('url'),
    timeout: metadata.whole('timeout') || defaultTimeout,
    ...(provider !== '' && { provider }),
    ...(metadata.flag('service') && { service: true }),
  };
}

function readAction(item: DdlObject): ActionItem {
  const display = displays.find((mode) => mode === item.text('display'));
  return {
    action: item.text('action'),
    description: item.text('description'),
    display: display ?? 'failed',
    input: item.named('input', readInput),
    output: item.named('output', readOutput),
    aggregate: item.objects('aggregate').map((spec) => {
      const args = spec.raw('args');
      return { function: spec.text('function'), args: Array.isArray(args) ? args : [] };
    }),
  };
}

function readInput(item: DdlObject): InputItem {
  const [validation, maxlength, list, byDefault] = [
    item.text('validation'),
    item.whole('maxlength'),
    item.texts('list'),
    item.raw('default'),
  ];
  return {
    prompt: item.text('prompt'),
    description: item.text('description'),
    type: item.text('type'),
    optional: item.flag('optional'),
    ...(validation !== '' && { validation }),
    ...(maxlength && { maxlength }),
    ...(list && { list }),
    ...(byDefault !== undefined && { default: byDefault }),
  };
}

function readOutput(item: DdlObject): OutputItem {
  const [type, byDefault] = [item.text('type'), item.raw('default')];
  return {
    description: item.text('description'),
    display_as: item.text('display_as'),
    ...(type !== '' && { type }),
    ...(byDefault !== undefined && { default: byDefault }),
  };
}
