// Expressions as trees, by the grammar of expr-lang 1.17.

import { childrenOf, type Node } from './ast.ts';
import { isBuiltin } from './builtins/index.ts';
import { ExprError } from './errors.ts';
import { binary, comparisons, negatable, predicates, rightAssociative, unary } from './grammar.ts';
import { type Token, type TokenKind, tokenize } from './lexer.ts';
import { maxDepth, maxNodes, maxSourceLength } from './limits.ts';

/**
 * @param isOverridden whether a name is one of the environment, which then is called instead of the built-in
 * @throws ExprError `EXPR_SYNTAX` with the place, `EXPR_LIMIT`
 */
export function parse(source: string, isOverridden: (name: string) => boolean): Node {
  if (source.length > maxSourceLength)
    throw new ExprError('EXPR_LIMIT', `the expression has ${source.length} characters, at most ${maxSourceLength} are allowed`);
  return new Parser(source, isOverridden).run();
}

/** What people mean by operators of other languages. */
const meant: Readonly<Record<string, string>> = {
  '=': "'==' compares",
  '&': "write 'and'",
};

class Parser {
  readonly #source: string;
  readonly #isOverridden: (name: string) => boolean;
  readonly #tokens: readonly Token[];
  #index = 0;
  #nodes = 0;
  /** How deep in parentheses, and how deep in predicates. */
  #nesting = 0;
  #predicates = 0;

  constructor(source: string, isOverridden: (name: string) => boolean) {
    this.#source = source;
    this.#isOverridden = isOverridden;
    this.#tokens = tokenize(source);
  }

  run(): Node {
    const node = this.#sequence();
    if (this.#current.kind !== 'end') this.#unexpected();
    return node;
  }

  get #current(): Token {
    return this.#tokens[this.#index] as Token;
  }

  #is(kind: TokenKind, value?: string): boolean {
    const token = this.#current;
    return token.kind === kind && (value === undefined || token.value === value);
  }

  #accept(kind: TokenKind, value: string): boolean {
    if (!this.#is(kind, value)) return false;
    this.#index += 1;
    return true;
  }

  #take(): Token {
    const token = this.#current;
    if (token.kind !== 'end') this.#index += 1;
    return token;
  }

  #expect(kind: TokenKind, value?: string): Token {
    if (!this.#is(kind, value)) this.#unexpected(value === undefined ? kind : `'${value}'`);
    return this.#take();
  }

  #unexpected(wanted?: string): never {
    const { kind, value, at } = this.#current;
    const found = kind === 'end' ? 'the expression ends here' : `'${value.slice(0, 40)}' is not expected here`;
    if (kind === 'operator' && Object.hasOwn(meant, value)) this.#fail(`${found}; ${meant[value]}`, at);
    this.#fail(wanted === undefined ? found : `${found}, ${wanted} is missing`, at);
  }

  #fail(message: string, at = this.#current.at): never {
    throw new ExprError('EXPR_SYNTAX', message, { source: this.#source, at });
  }

  #make<N extends Omit<Node, 'depth'>>(node: N): Node {
    this.#nodes += 1;
    if (this.#nodes > maxNodes)
      throw new ExprError('EXPR_LIMIT', `the expression has more than ${maxNodes} parts, which is the most that is allowed`);
    let depth = 0;
    for (const child of childrenOf(node as unknown as Node)) depth = Math.max(depth, child.depth);
    return { ...node, depth: this.#checkDepth(depth + 1) } as unknown as Node;
  }

  #checkDepth(depth: number): number {
    if (depth > maxDepth) throw new ExprError('EXPR_LIMIT', `the expression is nested deeper than ${maxDepth} levels`);
    return depth;
  }

  #sequence(): Node {
    const { at } = this.#current;
    const nodes = [this.#expression(0)];
    while (this.#accept('operator', ';')) {
      if (this.#is('end')) break;
      nodes.push(this.#expression(0));
    }
    return nodes.length === 1 ? (nodes[0] as Node) : this.#make({ kind: 'sequence', nodes, at });
  }

  #expression(precedence: number): Node {
    this.#nesting = this.#checkDepth(this.#nesting + 1);
    try {
      if (precedence === 0 && this.#is('operator', 'let')) return this.#let();
      if (precedence === 0 && this.#is('operator', 'if')) return this.#if();
      const left = this.#operators(this.#primary(), precedence);
      return precedence === 0 ? this.#ternary(left) : left;
    } finally {
      this.#nesting -= 1;
    }
  }

  #operators(first: Node, precedence: number): Node {
    let left = first;
    let previous = '';
    while (this.#current.kind === 'operator') {
      const begin = this.#index;
      const negated = this.#accept('operator', 'not');
      const { value: operator, at } = this.#current;
      if (negated && !negatable.has(operator))
        this.#unexpected("one of 'in', 'matches', 'contains', 'startsWith' and 'endsWith'");
      const own = binary.get(operator);
      if (own === undefined || own < precedence) {
        this.#index = begin;
        break;
      }
      this.#index += 1;
      if (operator === '|') left = this.#call(this.#expect('identifier'), [left], true);
      else {
        if (previous === '??' && operator !== '??')
          this.#fail(`'${operator}' and '??' can't stand side by side; put one of them in parentheses`, at);
        if (comparisons.has(operator)) left = this.#comparison(left, operator, at, own);
        else {
          const right = this.#expression(rightAssociative.has(operator) ? own : own + 1);
          left = this.#make({ kind: 'binary', operator, left, right, at });
          if (negated) left = this.#make({ kind: 'unary', operator: 'not', node: left, at });
        }
      }
      previous = operator;
    }
    return left;
  }

  /** `1 < a < 3` is `1 < a and a < 3`. */
  #comparison(first: Node, operator: string, at: number, precedence: number): Node {
    let left = first;
    let token = { value: operator, at };
    let root: Node | undefined;
    for (;;) {
      const right = this.#expression(precedence + 1);
      const compared = this.#make({ kind: 'binary', operator: token.value, left, right, at: token.at });
      root = root ? this.#make({ kind: 'binary', operator: '&&', left: root, right: compared, at: token.at }) : compared;
      left = right;
      if (!(this.#is('operator') && comparisons.has(this.#current.value))) return root;
      token = this.#take();
    }
  }

  #let(): Node {
    this.#take();
    const { value: name, at } = this.#expect('identifier');
    this.#expect('operator', '=');
    const value = this.#expression(0);
    this.#expect('operator', ';');
    return this.#make({ kind: 'let', name, value, body: this.#sequence(), at });
  }

  #if(): Node {
    const { at } = this.#take();
    const condition = this.#expression(0);
    const yes = this.#block();
    this.#expect('operator', 'else');
    const no = this.#is('operator', 'if') ? this.#nested(() => this.#if()) : this.#block();
    return this.#make({ kind: 'conditional', condition, yes, no, at });
  }

  #nested<T>(read: () => T): T {
    this.#nesting = this.#checkDepth(this.#nesting + 1);
    const result = read();
    this.#nesting -= 1;
    return result;
  }

  #block(): Node {
    this.#expect('bracket', '{');
    const node = this.#sequence();
    this.#expect('bracket', '}');
    return node;
  }

  #ternary(first: Node): Node {
    let node = first;
    while (this.#is('operator', '?')) {
      const { at } = this.#take();
      const condition = node;
      let yes = node;
      if (!this.#accept('operator', ':')) {
        yes = this.#expression(0);
        this.#expect('operator', ':');
      }
      node = this.#make({ kind: 'conditional', condition, yes, no: this.#expression(0), at });
    }
    return node;
  }

  #primary(): Node {
    const { kind, value, at } = this.#current;
    const own = kind === 'operator' ? unary[value] : undefined;
    if (own !== undefined && Object.hasOwn(unary, value)) {
      this.#take();
      return this.#postfix(this.#make({ kind: 'unary', operator: value, node: this.#expression(own), at }));
    }
    if (this.#accept('bracket', '(')) {
      const node = this.#sequence();
      this.#expect('bracket', ')');
      return this.#postfix(node);
    }
    if (this.#predicates > 0 && kind === 'operator' && (value === '#' || value === '.')) return this.#pointer();
    if (this.#accept('operator', '::')) return this.#postfix(this.#call(this.#expect('identifier'), [], false));
    return this.#secondary();
  }

  /** `#`, `#name`, and `.field`, which is short for `#.field`. */
  #pointer(): Node {
    const { at } = this.#current;
    let name = '';
    if (this.#accept('operator', '#') && this.#is('identifier')) name = this.#take().value;
    return this.#postfix(this.#make({ kind: 'pointer', name, at }));
  }

  #secondary(): Node {
    const { kind, value, at } = this.#current;
    switch (kind) {
      case 'identifier': {
        const token = this.#take();
        if (value === 'true' || value === 'false') return this.#make({ kind: 'constant', value: value === 'true', at });
        if (value === 'nil') return this.#make({ kind: 'nil', at });
        const node = this.#is('bracket', '(') ? this.#call(token, [], true) : this.#make({ kind: 'identifier', name: value, at });
        return this.#postfix(node);
      }
      case 'number':
        this.#take();
        return this.#make({ kind: 'constant', value: this.#number(value, at), at });
      case 'string':
        this.#take();
        return this.#postfix(this.#make({ kind: 'constant', value, at }));
      case 'bytes':
        this.#take();
        return this.#postfix(this.#make({ kind: 'constant', value: new Uint8Array(Buffer.from(value, 'latin1')), at }));
      default:
        if (this.#is('bracket', '[')) return this.#postfix(this.#array());
        if (this.#is('bracket', '{')) return this.#postfix(this.#map());
        return this.#unexpected();
    }
  }

  #number(text: string, at: number): bigint | number {
    const digits = text.replaceAll('_', '').toLowerCase();
    if (/^0x|^(?!.*[.e])/.test(digits)) {
      const isValid = /^(0x[\da-f]+|0b[01]+|0o[0-7]+|\d+)$/.test(digits);
      const value = isValid ? BigInt(/^0\d/.test(digits) ? digits.replace(/^0+(?=.)/, '') : digits) : 0n;
      if (!isValid || value > 0x7fff_ffff_ffff_ffffn)
        this.#fail(`'${text.slice(0, 40)}' is no whole number that fits into 64 bits`, at);
      return value;
    }
    const value = Number(digits);
    if (!/^(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/.test(digits) || !Number.isFinite(value))
      this.#fail(`'${text.slice(0, 40)}' is no number`, at);
    return value;
  }

  /** @param given what a pipe hands over */
  #call({ value: name, at }: Token, given: readonly Node[], mayOverride: boolean): Node {
    const overridden = mayOverride && this.#isOverridden(name);
    const shape = predicates.get(name);
    if (shape && !overridden) return this.#make({ kind: 'builtin', name, args: this.#predicateArguments(shape, given), at });
    if (isBuiltin(name) && !overridden) return this.#make({ kind: 'builtin', name, args: this.#arguments(given), at });
    const callee = this.#make({ kind: 'identifier', name, at });
    return this.#make({ kind: 'call', callee, args: this.#arguments(given), at });
  }

  #predicateArguments(shape: readonly string[], given: readonly Node[]): Node[] {
    const args = [...given];
    this.#expect('bracket', '(');
    shape.slice(given.length).forEach((what, index) => {
      if (this.#is('bracket', ')')) {
        if (!what.endsWith('?'))
          this.#fail(`an argument is missing, ${shape.filter((item) => !item.endsWith('?')).length} are needed`);
        return;
      }
      if (index > 0) this.#expect('operator', ',');
      args.push(what.startsWith('p') ? this.#predicate() : this.#expression(0));
    });
    this.#accept('operator', ',');
    this.#expect('bracket', ')');
    return args;
  }

  #arguments(given: readonly Node[]): Node[] {
    this.#expect('bracket', '(');
    return [...given, ...this.#list(')')];
  }

  /** Expressions between commas until a bracket; the last may be followed by a comma. */
  #list(end: string): Node[] {
    const nodes: Node[] = [];
    while (!this.#is('bracket', end)) {
      if (nodes.length > 0) {
        this.#expect('operator', ',');
        if (this.#is('bracket', end)) break;
      }
      nodes.push(this.#expression(0));
    }
    this.#take();
    return nodes;
  }

  #predicate(): Node {
    const { at } = this.#current;
    this.#predicates += 1;
    const isBlock = this.#is('bracket', '{');
    const node = isBlock ? this.#block() : this.#expression(0);
    if (!isBlock && this.#is('operator', ';')) this.#fail('a predicate of several expressions needs { and }');
    this.#predicates -= 1;
    return this.#make({ kind: 'predicate', node, at });
  }

  #array(): Node {
    const { at } = this.#take();
    return this.#make({ kind: 'array', nodes: this.#list(']'), at });
  }

  #map(): Node {
    const { at } = this.#take();
    const pairs: [Node, Node][] = [];
    while (!this.#is('bracket', '}')) {
      if (pairs.length > 0) {
        this.#expect('operator', ',');
        if (this.#is('bracket', '}')) break;
      }
      const key = this.#mapKey();
      this.#expect('operator', ':');
      pairs.push([key, this.#expression(0)]);
      this.#nodes += 1;
    }
    this.#take();
    return this.#make({ kind: 'map', pairs, at });
  }

  #mapKey(): Node {
    if (this.#is('bracket', '(')) return this.#expression(0);
    if (!['number', 'string', 'identifier'].includes(this.#current.kind))
      this.#fail('a key is a name, a number, a string, or an expression in parentheses');
    const { value, at } = this.#take();
    return this.#make({ kind: 'constant', value, at });
  }

  #postfix(first: Node): Node {
    let node = first;
    for (;;) {
      const { kind, value } = this.#current;
      if (kind === 'operator' && (value === '.' || value === '?.')) {
        this.#take();
        const optional = value === '?.';
        node = optional && this.#is('bracket', '[') ? this.#element(node, true) : this.#member(node, optional);
      } else if (kind === 'bracket' && value === '[') node = this.#element(node, false);
      else return node;
    }
  }

  #member(base: Node, optional: boolean): Node {
    const token = this.#take();
    if (token.kind !== 'identifier' && !(token.kind === 'operator' && /^\p{L}/u.test(token.value)))
      this.#fail('a name is missing here', token.at);
    const { value, at } = token;
    const isChain = base.kind === 'chain';
    const property = this.#make({ kind: 'constant', value, at });
    const method = this.#is('bracket', '(');
    let node = this.#make({ kind: 'member', node: isChain ? base.node : base, property, optional, method, at });
    if (method) node = this.#make({ kind: 'call', callee: node, args: this.#arguments([]), at });
    return isChain || optional ? this.#make({ kind: 'chain', node, at }) : node;
  }

  #element(base: Node, optional: boolean): Node {
    const { at } = this.#expect('bracket', '[');
    const from = this.#is('operator', ':') ? undefined : this.#expression(0);
    if (this.#accept('operator', ':')) {
      const to = this.#is('bracket', ']') ? undefined : this.#expression(0);
      this.#expect('bracket', ']');
      return this.#make({ kind: 'slice', node: base, from, to, at });
    }
    this.#expect('bracket', ']');
    const node = this.#make({ kind: 'member', node: base, property: from as Node, optional, method: false, at });
    return optional ? this.#make({ kind: 'chain', node, at }) : node;
  }
}
