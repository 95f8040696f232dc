// DDLs as JSON Schemas, for editors, forms and gateways.

import type { ActionItem, AgentDDL, DataDDL, InputItem } from '../wire/ddl.ts';

type Schema = Readonly<Record<string, unknown>>;

const types: Readonly<Record<string, string>> = {
  string: 'string',
  list: 'string',
  integer: 'integer',
  int: 'integer',
  number: 'number',
  float: 'number',
  boolean: 'boolean',
  hash: 'object',
  array: 'array',
};

/** `{action: {input, output}}`, each a JSON Schema. */
export function agentJsonSchema({ metadata, actions }: AgentDDL): Record<string, unknown> {
  return {
    title: metadata.name,
    description: metadata.description,
    version: metadata.version,
    actions: Object.fromEntries(
      actions.map(({ action, description, input, output }) => [
        action,
        { description, input: inputSchema(input), output: outputSchema(output) },
      ]),
    ),
  };
}

/** `{query, output}`, each a JSON Schema; the query is null if there is none. */
export function dataJsonSchema({ metadata, query, output }: DataDDL): Record<string, unknown> {
  return {
    title: metadata.name,
    description: metadata.description,
    version: metadata.version,
    query: query ? itemSchema(query) : null,
    output: outputSchema(output),
  };
}

function inputSchema(inputs: ActionItem['input']): Schema {
  const required = Object.entries(inputs).filter(([, { optional }]) => !optional);
  return {
    type: 'object',
    additionalProperties: false,
    required: required.map(([name]) => name),
    properties: Object.fromEntries(Object.entries(inputs).map(([name, item]) => [name, itemSchema(item)])),
  };
}

function itemSchema({ prompt, description, type, validation, maxlength, list, default: byDefault }: InputItem): Schema {
  return {
    title: prompt,
    description,
    ...typeOf(type),
    ...(byDefault !== undefined && byDefault !== null && { default: byDefault }),
    ...(list && { enum: list }),
    ...(maxlength && { maxLength: maxlength, ...(validation && validationOf(validation)) }),
  };
}

function outputSchema(outputs: ActionItem['output']): Schema {
  return {
    type: 'object',
    properties: Object.fromEntries(
      Object.entries(outputs).map(([name, { description, display_as, type, default: byDefault }]) => [
        name,
        { title: display_as, description, ...typeOf(type ?? ''), ...(byDefault !== undefined && { default: byDefault }) },
      ]),
    ),
  };
}

function typeOf(type: string): Schema {
  const known = types[type.toLowerCase()];
  return known ? { type: known } : {};
}

/** Formats for the named validators that have one; a pattern as it is; nothing for names that nobody knows. */
function validationOf(validation: string): Schema {
  switch (validation) {
    case 'ipv4address':
      return { format: 'ipv4' };
    case 'ipv6address':
      return { format: 'ipv6' };
    case 'ipaddress':
      return { anyOf: [{ format: 'ipv4' }, { format: 'ipv6' }] };
    case 'shellsafe':
      return { pattern: '^(?:[^`$;|><&]|&(?!&))*$' };
    default:
      return /^[a-z]/.test(validation) ? {} : { pattern: validation };
  }
}
