// Compound filters on a node. An expression is evaluated at once, without a promise. Where it asks a data plugin that has not
// told yet, the evaluation is given up, the plugin is asked, and the expression evaluated again with what it told: so only
// what an expression comes to is asked, and those that ask nothing never wait.

import type { Host } from '../../core/sdk/typescript/index.ts';
import {
  compileCompound,
  countCompound,
  type DataFunction,
  evaluateBool,
  nodeEnvironment,
  withFactBytes,
} from '../wire/compound.ts';
import { Budget, type Environment, ExprError, type Program } from '../wire/expr/index.ts';
import type { Filter, NodeFacts } from '../wire/filter.ts';
import type { DataSources } from './data-sources.ts';

/** Time for one filter with all that it asks, in milliseconds. */
const maxWaitMs = 10_000;
/** Questions of one filter, and its entries. */
const maxQuestions = 32;
const maxEntries = 32;
const maxCompiled = 64;
/** Longer ones are compiled each time. */
const maxCachedLength = 2_048;

/** Whether a filter fits, and if it failed, why. */
export interface Verdict {
  readonly fits: boolean;
  readonly reason?: string;
}

/** A filter that can't be decided before data plugins were asked, which has not begun. */
export interface Undecided {
  readonly decide: () => Promise<Verdict>;
}

/** A question to a data plugin whose answer the evaluation can't do without. */
class Unanswered {
  readonly source: string;
  readonly query: string | undefined;

  constructor(source: string, query: string | undefined) {
    this.source = source;
    this.query = query;
  }
}

export class Expressions {
  readonly #host: Host;
  readonly #data: DataSources;
  readonly #compiled = new Map<string, Program | ExprError>();
  #functions: readonly DataFunction[] = [];

  constructor(host: Host, data: DataSources) {
    this.#host = host;
    this.#data = data;
  }

  match(compound: Filter['compound'], node: NodeFacts): Verdict | Undecided {
    if (compound.length > maxEntries)
      return { fits: false, reason: `it has ${compound.length} expressions, at most ${maxEntries} are evaluated` };
    const evaluation = new Evaluation(this.#data, node, (source) => this.#compile(source));
    try {
      const result = evaluation.attempt(compound);
      return result instanceof Unanswered ? { decide: () => this.#ask(evaluation, compound, result) } : { fits: result };
    } catch (error) {
      return this.#failed(error);
    }
  }

  async #ask(evaluation: Evaluation, compound: Filter['compound'], first: Unanswered): Promise<Verdict> {
    const until = performance.now() + maxWaitMs;
    let question = first;
    try {
      for (let asked = 0; asked < maxQuestions; asked += 1) {
        const left = until - performance.now();
        evaluation.answers.set(keyOf(question.source, question.query), await this.#answer(question, left));
        if (performance.now() > until) return { fits: false, reason: `its data plugins took longer than ${maxWaitMs / 1000} s` };
        const result = evaluation.attempt(compound);
        if (!(result instanceof Unanswered)) return { fits: result };
        question = result;
      }
      return { fits: false, reason: `it asks data plugins more than ${maxQuestions} questions` };
    } catch (error) {
      return this.#failed(error);
    }
  }

  /** One that fails, or takes too long, tells nothing; the log says why. */
  async #answer({ source, query }: Unanswered, limitMs: number): Promise<object | null> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error('the filter waits no longer')), Math.max(0, limitMs));
    });
    try {
      return ((await Promise.race([this.#data.get(source, query), late])) ?? null) as object | null;
    } catch (error) {
      this.#host.log.error(`the data plugin ${source} told a filter nothing: ${(error as Error).message}`);
      return null;
    } finally {
      clearTimeout(timer);
    }
  }

  /** @throws ExprError, the same one each time */
  #compile(source: string): Program {
    if (this.#functions !== this.#data.functions) {
      this.#functions = this.#data.functions;
      this.#compiled.clear();
    }
    const known = this.#compiled.get(source);
    const result = known ?? compileOrError(source, this.#functions);
    this.#compiled.delete(source);
    if (source.length <= maxCachedLength) this.#compiled.set(source, result);
    if (this.#compiled.size > maxCompiled) this.#compiled.delete(this.#compiled.keys().next().value ?? '');
    if (result instanceof ExprError) throw result;
    return result;
  }

  #failed(error: unknown): Verdict {
    if (!(error instanceof ExprError)) throw error;
    this.#host.log.warn(`an expression of a filter failed: ${error.message}`, { code: error.code });
    return { fits: false, reason: error.message };
  }
}

/** One filter held against the node, as often as it takes. */
class Evaluation {
  /** What data plugins told, by question. */
  readonly answers = new Map<string, object | null>();
  readonly #data: DataSources;
  readonly #node: NodeFacts;
  readonly #compile: (source: string) => Program;
  readonly #budget = new Budget();
  readonly #now = Date.now();
  #environment: Environment | undefined;

  constructor(data: DataSources, node: NodeFacts, compile: (source: string) => Program) {
    this.#data = data;
    this.#node = node;
    this.#compile = compile;
  }

  /** @returns a question if one has to be answered first @throws ExprError */
  attempt(compound: Filter['compound']): boolean | Unanswered {
    try {
      return countCompound(compound, (source) => this.#evaluate(this.#compile(source)));
    } catch (error) {
      if (error instanceof Unanswered) return error;
      throw error;
    }
  }

  #evaluate(program: Program): boolean {
    this.#environment ??= nodeEnvironment(this.#node, this.#data.functions, (source, query) => this.#known(source, query));
    const needsBytes = program.names.has('facts') || program.names.has('$env');
    const environment = needsBytes ? withFactBytes(this.#environment, this.#node) : this.#environment;
    return evaluateBool(program, environment, this.#budget, this.#now);
  }

  #known(source: string, query: string | undefined): object | null {
    const key = keyOf(source, query);
    const answer = this.answers.get(key);
    if (answer !== undefined) return answer;
    const recalled = this.#data.recall(source, query);
    if (!recalled) throw new Unanswered(source, query);
    const data = (recalled.data ?? null) as object | null;
    // What was told once stays so for this filter.
    this.answers.set(key, data);
    return data;
  }
}

function keyOf(source: string, query: string | undefined): string {
  return `${source} ${query ?? ''}`;
}

function compileOrError(source: string, functions: readonly DataFunction[]): Program | ExprError {
  try {
    return compileCompound(source, functions);
  } catch (error) {
    if (error instanceof ExprError) return error;
    throw error;
  }
}
