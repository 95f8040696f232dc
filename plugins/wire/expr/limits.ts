// What an expression may cost. Whoever sends one is not trusted to be gentle.

import { ExprError } from './errors.ts';

export const maxSourceLength = 16_384;
export const maxNodes = 5_000;
/** Nesting of an expression, and of values that are walked. */
export const maxDepth = 400;
/** Elements of lists and maps that one evaluation may make, as in the original. */
export const maxElements = 1_000_000;
export const maxTextLength = 1_048_576;
const maxSteps = 5_000_000;
const maxMs = 250;
/** The clock is read once in so many steps. */
const clockSteps = 2_048;

/**
 * What is left for a filter. It may take several evaluations, between which time passes that costs nothing; nor does time that
 * other programs have on a busy machine.
 */
export class Budget {
  #steps = maxSteps;
  #nextClock = maxSteps - clockSteps;
  #elements = 0;
  #msLeft = maxMs;
  #begun = { clock: 0, cpu: 0 };

  /** An evaluation begins. */
  begin(): void {
    this.#elements = 0;
    this.#begun = { clock: performance.now(), cpu: cpuMs() };
  }

  end(): void {
    this.#msLeft -= this.#workedMs;
  }

  get #workedMs(): number {
    const { clock, cpu } = this.#begun;
    return Math.min(performance.now() - clock, cpuMs() - cpu);
  }

  /** Pays for work. @throws ExprError `EXPR_LIMIT` */
  spend(steps: number): void {
    this.#steps -= steps;
    if (this.#steps > this.#nextClock) return;
    if (this.#steps < 0) throw new ExprError('EXPR_LIMIT', `the expression takes more than ${maxSteps} steps`);
    if (this.#workedMs > this.#msLeft) throw new ExprError('EXPR_LIMIT', `the expression takes longer than ${maxMs} ms`);
    this.#nextClock = this.#steps - clockSteps;
  }

  /** Pays for elements that are kept. @throws ExprError `EXPR_LIMIT` */
  grow(elements: number): void {
    this.#elements += elements;
    this.spend(elements);
    if (this.#elements >= maxElements)
      throw new ExprError('EXPR_LIMIT', `the expression makes more than ${maxElements} elements`);
  }

  /** Pays for a text of this length, before it is made. @throws ExprError `EXPR_LIMIT` */
  text(length: number): void {
    if (length > maxTextLength)
      throw new ExprError('EXPR_LIMIT', `the expression makes a text of more than ${maxTextLength} characters`);
    this.spend(Math.ceil(length / 16));
  }
}

/** @throws ExprError `EXPR_LIMIT` for values that are nested too deep */
export function checkDepth(depth: number): void {
  if (depth > maxDepth) throw new ExprError('EXPR_LIMIT', `a value is nested deeper than ${maxDepth} levels`);
}

/** What this process has worked. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
