// The functions that modules call outside themselves. Those of `capabilities.json` that a module has not within itself are here.

import type { RequestFilter } from '../worker-messages.ts';
import { encodingBuiltins } from './encodings.ts';
import { filterBuiltins } from './filter.ts';
import { jwtBuiltins } from './jwt.ts';
import { objectBuiltins } from './objects.ts';
import { regexBuiltins } from './regex.ts';
import { semverBuiltins } from './semver.ts';
import { sprintf } from './sprintf.ts';
import { stringBuiltins } from './strings.ts';
import { timeBuiltins } from './time.ts';
import { unitBuiltins } from './units.ts';
import { type Builtin, lenient } from './values.ts';

/** What is evaluated now; functions are given no context. */
export interface Evaluation {
  readonly filter: RequestFilter;
  /** Unix milliseconds. One evaluation has one time. */
  readonly now: number;
}

export function createBuiltins(evaluation: Evaluation): Record<string, Builtin> {
  return lenient({
    ...filterBuiltins(() => evaluation.filter),
    ...encodingBuiltins,
    ...jwtBuiltins,
    ...objectBuiltins,
    ...regexBuiltins,
    ...semverBuiltins,
    ...stringBuiltins,
    ...timeBuiltins(() => evaluation.now),
    ...unitBuiltins,
    sprintf,
    trace: () => true,
  });
}
