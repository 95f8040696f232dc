// Regular expressions on RE2, in Go's semantics.

import { RE2JS } from 're2js';
import { type Builtin, integer, text, Undefined } from './values.ts';

interface Found {
  readonly start: number;
  readonly end: number;
  readonly groups: readonly (string | undefined)[];
  readonly named: Readonly<Record<string, number>>;
}

export const regexBuiltins: Readonly<Record<string, Builtin>> = {
  'regex.split': (pattern, subject) => split(text(pattern), text(subject)),
  'regex.replace': (subject, pattern, replacement) => {
    const [whole, template] = [text(subject), text(replacement)];
    let result = '';
    let end = 0;
    for (const one of findAll(text(pattern), whole)) {
      result += whole.slice(end, one.start) + expand(template, one);
      end = one.end;
    }
    return result + whole.slice(end);
  },
  'regex.find_n': (pattern, subject, limit) => {
    const [whole, most] = [text(subject), integer(limit)];
    const found = findAll(text(pattern), whole);
    return (most < 0 ? found : found.slice(0, most)).map(({ start, end }) => whole.slice(start, end));
  },
  'regex.template_match': (template, subject, open, close) => {
    const [opening, closing] = [text(open), text(close)];
    if ([...opening].length !== 1 || [...closing].length !== 1) throw new Undefined('no delimiter');
    return compiled(`^${templatePattern(text(template), opening, closing)}$`).test(text(subject));
  },
};

function compiled(source: string): RE2JS {
  try {
    return RE2JS.compile(source);
  } catch {
    throw new Undefined('no pattern');
  }
}

/** All that do not overlap, as Go finds them: an empty match right after another does not count. */
function findAll(source: string, whole: string): Found[] {
  const pattern = compiled(source);
  const matcher = pattern.matcher(whole);
  const named = pattern.namedGroups() as Readonly<Record<string, number>>;
  const found: Found[] = [];
  let previousEnd = -1;
  for (let at = 0; at <= whole.length && matcher.find(at); ) {
    const [start, end] = [matcher.start(), matcher.end()];
    if (start !== end || start !== previousEnd)
      found.push({
        start,
        end,
        groups: Array.from({ length: matcher.groupCount() + 1 }, (_, group) => matcher.group(group) ?? undefined),
        named,
      });
    previousEnd = end;
    at = end > start ? end : end + characterLength(whole, end);
  }
  return found;
}

function characterLength(whole: string, at: number): number {
  return (whole.codePointAt(at) ?? 0) > 0xffff ? 2 : 1;
}

function split(source: string, whole: string): string[] {
  if (source !== '' && whole === '') return [''];
  const parts: string[] = [];
  let begin = 0;
  let end = 0;
  for (const found of findAll(source, whole)) {
    end = found.start;
    if (found.end !== 0) parts.push(whole.slice(begin, end));
    begin = found.end;
  }
  if (end !== whole.length) parts.push(whole.slice(begin));
  return parts;
}

/** `$1`, `${1}`, `$name`, `${name}` and `$$`; a group that is not there is empty. */
function expand(template: string, { groups, named }: Found): string {
  return template.replace(/\$(?:\$|\{(\w+)\}|(\w+))/g, (all, braced?: string, plain?: string) => {
    if (all === '$$') return '$';
    const name = braced ?? plain ?? '';
    return groups[/^\d+$/.test(name) ? Number(name) : (named[name] ?? -1)] ?? '';
  });
}

/** What is between delimiters is a pattern, the rest is meant as it is written. */
function templatePattern(template: string, open: string, close: string): string {
  let pattern = '';
  let literal = '';
  let depth = 0;
  let inner = '';
  for (const character of template) {
    if (character === open && depth++ === 0) {
      pattern += quote(literal);
      literal = '';
    } else if (character === close && --depth <= 0) {
      if (depth < 0) throw new Undefined('unbalanced');
      pattern += `(${inner})`;
      inner = '';
    } else if (depth > 0) inner += character;
    else literal += character;
  }
  if (depth !== 0) throw new Undefined('unbalanced');
  return pattern + quote(literal);
}

function quote(literal: string): string {
  return literal.replace(/[\\.+*?()|[\]{}^$]/g, '\\$&');
}
