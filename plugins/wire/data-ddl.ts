// DDLs of data plugins, and the query that one allows.

import { type DataDDL, validate } from '#schemas/mcorpc/ddl/v1/data';
import { checkInput, DdlError } from './ddl.ts';

export type { DataDDL };

/** @throws DdlError naming the field */
export function readDataDdl(value: unknown, origin: string): DataDDL {
  if (validate(value)) return value;
  const first = validate.errors?.[0];
  throw new DdlError(
    `${origin} is no DDL of a data plugin: ${first?.instancePath.slice(1).replaceAll('/', '.') || 'the document'} ${first?.message ?? 'is not valid'}`,
  );
}

/** @throws DdlError if the plugin takes no query, needs one, or this one does not fit */
export function checkQuery({ metadata, query }: DataDDL, given: string | undefined): void {
  if (!query) {
    if (given !== undefined) throw new DdlError(`the data plugin ${metadata.name} takes no query`);
    return;
  }
  const action = { action: metadata.name, description: metadata.description, input: { query }, output: {} };
  checkInput(action, given === undefined ? {} : { query: given });
}
