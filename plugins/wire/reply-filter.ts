// Reply filters: expressions that choose, on the side of the client, which replies are shown.

import { include, semver } from './compound.ts';
import { compile, type Environment, ExprError, type Type, type Value } from './expr/index.ts';
import { timeOf } from './expr/time.ts';
import { any, bool, fn, int, string, time } from './expr/types.ts';
import { NativeFunction, spell } from './expr/values.ts';
import { lookup } from './facts.ts';
import { statusCodes } from './rpc.ts';

/** A reply as a filter sees it. */
export interface FilteredReply {
  readonly sender: string;
  readonly statuscode: number;
  readonly statusmsg: string;
  readonly data: unknown;
  readonly time: Date;
}

const statusFunctions: Readonly<Record<string, number>> = {
  ok: statusCodes.ok,
  aborted: statusCodes.aborted,
  unknown_action: statusCodes.unknownAction,
  missing_data: statusCodes.missingData,
  invalid_data: statusCodes.invalidData,
  unknown_error: statusCodes.unknownError,
};

const dataType = fn([string], any);

const names: ReadonlyMap<string, Type> = new Map<string, Type>([
  ['msg', string],
  ['code', int],
  ['data', dataType],
  ['include', include.type],
  ['semver', semver.type],
  ['sender', fn([], string)],
  ['time', fn([], time)],
  ...Object.keys(statusFunctions).map((name) => [name, fn([], bool)] as const),
]);

/** Whether a reply is kept. @throws ExprError if it fails, or gives neither true nor false */
export type ReplyFilter = (reply: FilteredReply) => boolean;

/** @throws ExprError with the place of what is wrong */
export function compileReplyFilter(source: string): ReplyFilter {
  const program = compile(source, { names, expectBool: true });
  return (reply) => {
    const value = program.evaluate(environmentOf(reply), { now: Date.now() });
    if (typeof value === 'boolean') return value;
    throw new ExprError('EXPR_RUN', `the expression gave ${spell(value)} for ${reply.sender}, and has to give true or false`);
  };
}

function environmentOf({ sender, statuscode, statusmsg, data, time: when }: FilteredReply): Environment {
  const environment = new Map<string, Value>([
    ['msg', statusmsg],
    ['code', BigInt(statuscode)],
    ['data', new NativeFunction(dataType, (path) => lookup(data, String(path)) ?? null)],
    ['include', include],
    ['semver', semver],
    ['sender', new NativeFunction(fn([], string), () => sender)],
    ['time', new NativeFunction(fn([], time), () => timeOf(when.getTime()))],
  ]);
  for (const [name, code] of Object.entries(statusFunctions))
    environment.set(name, new NativeFunction(fn([], bool), () => statuscode === code));
  return environment;
}
