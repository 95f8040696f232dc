// Filters held against nodes that are known from elsewhere, such as a file, and can't be asked themselves.

import { compileCompound, countCompound, evaluateBool, nodeEnvironment, withFactBytes } from './compound.ts';
import { Budget, ExprError, type Program } from './expr/index.ts';
import { type Filter, FilterError, matchFilter, type NodeFacts } from './filter.ts';
import { rememberingCompiler } from './regexp.ts';

/**
 * Whether a node fits a filter. Nobody has data plugins here, so an expression that calls one fits nobody.
 * @throws FilterError for an expression that can't be used
 */
export function localMatcher(filter: Filter): (node: NodeFacts) => boolean {
  const programs = new Map<string, Program>();
  for (const source of filter.compound.flatMap((entry) => entry.flatMap(({ expr }) => expr ?? [])))
    programs.set(source, compileOrRefuse(source));
  const now = Date.now();
  const compile = rememberingCompiler();
  return (node) => matchFilter(filter, node, (compound) => matchCompound(compound, node, programs, now), compile);
}

function compileOrRefuse(source: string): Program {
  try {
    return compileCompound(source, []);
  } catch (error) {
    throw new FilterError(`the expression '${source}' can not be used: ${(error as Error).message}`, { cause: error });
  }
}

function matchCompound(
  compound: Filter['compound'],
  node: NodeFacts,
  programs: ReadonlyMap<string, Program>,
  now: number,
): boolean {
  const plain = nodeEnvironment(node, [], () => null);
  const budget = new Budget();
  try {
    return countCompound(compound, (source) => {
      const program = programs.get(source);
      if (!program) return false;
      const needsBytes = program.names.has('facts') || program.names.has('$env');
      return evaluateBool(program, needsBytes ? withFactBytes(plain, node) : plain, budget, now);
    });
  } catch (error) {
    // As on a node: what fails fits nobody.
    if (error instanceof ExprError) return false;
    throw error;
  }
}
