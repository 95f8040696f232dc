// Expressions of expr-lang 1.17, as compound filters and reply filters use them.

import { childrenOf, type Node } from './ast.ts';
import { check } from './check.ts';
import { type Environment, type EvaluateOptions, run, compile as toCode } from './evaluate.ts';
import { parse } from './parser.ts';
import { simplify } from './simplify.ts';
import type { Type } from './types.ts';
import type { Value } from './values.ts';

export { ExprError } from './errors.ts';
export type { Environment, EvaluateOptions } from './evaluate.ts';
export { Budget } from './limits.ts';
export type { Type } from './types.ts';
export type { Value } from './values.ts';

export interface CompileOptions {
  /** The names that are defined, and what they are. Others are nil, and calling one is an error. */
  readonly names: ReadonlyMap<string, Type>;
  /** Whether something that can't be true or false is refused. */
  readonly expectBool?: boolean;
}

export interface Program {
  readonly source: string;
  /** Names that occur in it. */
  readonly names: ReadonlySet<string>;
  /** @throws ExprError `EXPR_RUN`, `EXPR_LIMIT`, with the place; and what functions of the environment throw */
  evaluate(environment: Environment, options: EvaluateOptions): Value;
}

/** @throws ExprError `EXPR_SYNTAX`, `EXPR_TYPE`, `EXPR_LIMIT`, with the place */
export function compile(source: string, { names, expectBool = false }: CompileOptions): Program {
  const tree = parse(source, (name) => names.has(name));
  check(tree, { source, names, expectBool });
  const code = toCode(simplify(tree, source));
  return { source, names: namesIn(tree), evaluate: (environment, options) => run(code, source, environment, options) };
}

function namesIn(root: Node): Set<string> {
  const names = new Set<string>();
  const seen = new Set<Node>();
  const visit = (node: Node) => {
    if (seen.has(node)) return;
    seen.add(node);
    if (node.kind === 'identifier') names.add(node.name);
    childrenOf(node).forEach(visit);
  };
  visit(root);
  return names;
}
