// What the original's optimiser changes in meaning. It drops or joins parts of an expression, and with them the errors that
// they would have made: `any(a, p) or any(a, q)` is one loop there, and `x and false` never looks at x.

import { childrenOf, type Node, type NodeOf } from './ast.ts';
import { ExprError } from './errors.ts';
import { maxDepth, maxNodes } from './limits.ts';
import { bool, float, int, string } from './types.ts';
import { wrap } from './values.ts';

const maxRounds = 100;

/** @throws ExprError `EXPR_TYPE` for a division by zero among constants */
export function simplify(root: Node, source: string): Node {
  let node = root;
  for (let round = 0; round < maxRounds; round += 1) {
    const folded = rewrite(node, (item) => fold(item, source));
    if (folded === node) break;
    node = folded;
  }
  node = rewrite(node, inRange);
  node = rewrite(node, firstOfFilter);
  node = rewrite(node, joinLoops);
  node = rewrite(node, sumOfList);
  return rewrite(node, stopCounting);
}

/** The tree with each node replaced by what `change` makes of it, from the leaves up. */
function rewrite(root: Node, change: (node: Node) => Node): Node {
  // `1 < a < 3` has `a` twice: what is shared is visited once.
  const done = new Map<Node, Node>();
  const visit = (node: Node): Node => {
    const known = done.get(node);
    if (known) return known;
    const below = childrenOf(node);
    const changed = below.map(visit);
    const result = change(changed.every((child, index) => child === below[index]) ? node : withChildren(node, changed));
    done.set(node, result);
    return result;
  };
  return visit(root);
}

function withChildren(node: Node, children: readonly Node[]): Node {
  const [first, second, third] = children as [Node, Node, Node];
  switch (node.kind) {
    case 'unary':
    case 'chain':
    case 'predicate':
      return { ...node, node: first };
    case 'binary':
      return { ...node, left: first, right: second };
    case 'member':
      return { ...node, node: first, property: second };
    case 'slice':
      return { ...node, node: first, from: node.from && second, to: node.to && (node.from ? third : second) };
    case 'call':
      return { ...node, callee: first, args: children.slice(1) };
    case 'builtin':
      return { ...node, args: children };
    case 'let':
      return { ...node, value: first, body: second };
    case 'sequence':
    case 'array':
      return { ...node, nodes: children };
    case 'conditional':
      return { ...node, condition: first, yes: second, no: third };
    case 'map':
      return { ...node, pairs: node.pairs.map((_pair, index) => [children[2 * index] as Node, children[2 * index + 1] as Node]) };
    default:
      return node;
  }
}

function constant(node: Node): NodeOf<'constant'>['value'] | undefined {
  return node.kind === 'constant' ? node.value : undefined;
}

function constantNode(from: Node, value: boolean | bigint | number | string): Node {
  const type = typeof value === 'boolean' ? bool : typeof value === 'bigint' ? int : typeof value === 'number' ? float : string;
  return { kind: 'constant', value, at: from.at, depth: 1, type };
}

function fold(node: Node, source: string): Node {
  if (node.kind === 'unary') return foldUnary(node);
  if (node.kind === 'binary') return foldBinary(node, source);
  return node.kind === 'builtin' && node.name === 'filter' ? foldFilter(node) : node;
}

function foldUnary(node: NodeOf<'unary'>): Node {
  const value = constant(node.node);
  if (typeof value === 'bigint' && node.operator !== 'not')
    return constantNode(node, node.operator === '-' ? wrap(-value) : value);
  if (typeof value === 'number') return constantNode(node, node.operator === '-' ? -value : value);
  return typeof value === 'boolean' ? constantNode(node, !value) : node;
}

function foldBinary(node: NodeOf<'binary'>, source: string): Node {
  const [a, b] = [constant(node.left), constant(node.right)];
  switch (node.operator) {
    case 'and':
    case '&&':
      if (a === true) return { ...node.right, type: bool };
      if (b === true) return { ...node.left, type: bool };
      return a === false || b === false ? constantNode(node, false) : node;
    case 'or':
    case '||':
      if (a === false) return { ...node.right, type: bool };
      if (b === false) return { ...node.left, type: bool };
      return a === true || b === true ? constantNode(node, true) : node;
    case '==':
      return typeof a === typeof b && ['bigint', 'string', 'boolean'].includes(typeof a) ? constantNode(node, a === b) : node;
    case '%':
      if (typeof a !== 'bigint' || typeof b !== 'bigint') return node;
      if (b === 0n) throw new ExprError('EXPR_TYPE', 'division by zero', { source, at: node.at });
      return constantNode(node, wrap(a % b));
    case '+':
      if (typeof a === 'string' && typeof b === 'string') return constantNode(node, a + b);
      return typeof a === 'bigint' && typeof b === 'bigint' ? constantNode(node, wrap(a + b)) : node;
    case '-':
      return typeof a === 'bigint' && typeof b === 'bigint' ? constantNode(node, wrap(a - b)) : node;
    case '*':
      return typeof a === 'bigint' && typeof b === 'bigint' ? constantNode(node, wrap(a * b)) : node;
    default:
      return node;
  }
}

/** A filter of a filter asks both at each element. */
function foldFilter(node: NodeOf<'builtin'>): Node {
  const [base, outer] = node.args;
  if (base?.kind !== 'builtin' || base.name !== 'filter' || outer?.kind !== 'predicate') return node;
  const [list, inner] = base.args;
  if (!list || inner?.kind !== 'predicate') return node;
  const joined: Node = {
    kind: 'binary',
    operator: '&&',
    left: inner.node,
    right: outer.node,
    at: outer.at,
    depth: node.depth,
    type: bool,
  };
  return { ...node, args: [list, { ...outer, node: joined }] };
}

/** A whole number in a range of constants is compared with both ends. */
function inRange(node: Node): Node {
  if (node.kind !== 'binary' || node.operator !== 'in' || node.left.type?.kind !== 'int') return node;
  const { left, right, at, depth } = node;
  if (right.kind !== 'binary' || right.operator !== '..') return node;
  if (typeof constant(right.left) !== 'bigint' || typeof constant(right.right) !== 'bigint') return node;
  const above: Node = { kind: 'binary', operator: '>=', left, right: right.left, at, depth, type: bool };
  const below: Node = { kind: 'binary', operator: '<=', left, right: right.right, at, depth, type: bool };
  return { kind: 'binary', operator: 'and', left: above, right: below, at, depth, type: bool };
}

/** `filter(…)[0]`, `filter(…)[-1]`, `first(filter(…))` and `last(filter(…))` stop at what they find. */
function firstOfFilter(node: Node): Node {
  const [filter, index] = filterAndPlace(node);
  if (filter?.kind !== 'builtin' || filter.name !== 'filter' || (index !== 0n && index !== -1n)) return node;
  const found = { ...filter, name: index === 0n ? 'find' : 'findLast', at: node.at, throws: node.kind === 'member' };
  return node.type ? { ...found, type: node.type } : found;
}

function filterAndPlace(node: Node): [Node | undefined, NodeOf<'constant'>['value'] | undefined] {
  if (node.kind === 'member' && !node.optional) return [node.node, constant(node.property)];
  if (node.kind !== 'builtin' || (node.name !== 'first' && node.name !== 'last')) return [undefined, undefined];
  return [node.args[0], node.name === 'first' ? 0n : -1n];
}

const joinable: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  all: { and: 'and', '&&': '&&' },
  any: { or: 'or', '||': '||' },
  none: { and: 'or', '&&': '||' },
};

/** Two loops over the same list become one. */
function joinLoops(node: Node): Node {
  if (node.kind !== 'binary' || node.left.kind !== 'builtin' || node.right.kind !== 'builtin') return node;
  const { left, right } = node;
  const operator = Object.hasOwn(joinable, left.name) ? joinable[left.name]?.[node.operator] : undefined;
  const [list, first] = left.args;
  const [other, second] = right.args;
  if (operator === undefined || left.name !== right.name || !list || !other || !isSame(list, other)) return node;
  if (first?.kind !== 'predicate' || second?.kind !== 'predicate') return node;
  const joined = joinLoops({
    kind: 'binary',
    operator,
    left: first.node,
    right: second.node,
    at: node.at,
    depth: node.depth,
    type: bool,
  });
  return { ...left, args: [list, { ...first, node: joined }] };
}

/** Whether two trees say the same. Trees share parts, so the work is bounded; what is too large to tell is another. */
function isSame(a: Node, b: Node, left = { steps: maxNodes }): boolean {
  left.steps -= 1;
  if (left.steps < 0 || a.kind !== b.kind || a.type?.kind !== b.type?.kind || label(a) !== label(b)) return false;
  const [mine, others] = [childrenOf(a), childrenOf(b)];
  return mine.length === others.length && mine.every((child, index) => isSame(child, others[index] as Node, left));
}

/** What tells a node from others of its kind. */
function label(node: Node): string {
  switch (node.kind) {
    case 'constant':
      return `${typeof node.value} ${node.value}`;
    case 'unary':
    case 'binary':
      return node.operator;
    case 'member':
      return `${node.optional} ${node.method}`;
    case 'slice':
      return `${node.from !== undefined} ${node.to !== undefined}`;
    case 'identifier':
    case 'builtin':
    case 'pointer':
    case 'let':
      return node.name;
    default:
      return '';
  }
}

/** `sum([a, b])` is `a + b`, unless all of them are constants. */
function sumOfList(node: Node): Node {
  const list = node.kind === 'builtin' && node.name === 'sum' && node.args.length === 1 ? node.args[0] : undefined;
  // A sum of very many would be nested too deep.
  if (
    list?.kind !== 'array' ||
    list.nodes.length < 2 ||
    list.nodes.length > maxDepth ||
    list.nodes.every((item) => constant(item) !== undefined)
  )
    return node;
  return list.nodes.reduceRight((right, left) => ({
    kind: 'binary',
    operator: '+',
    left,
    right,
    at: node.at,
    depth: node.depth,
  }));
}

/** A count that is compared with a number goes no further than it needs to. */
function stopCounting(node: Node): Node {
  if (node.kind !== 'binary' || node.left.kind !== 'builtin' || node.left.name !== 'count' || node.left.args.length !== 2)
    return node;
  const limit = constant(node.right);
  if (typeof limit !== 'bigint' || limit < 0n) return node;
  if ((node.operator === '>' && limit === 0n) || (node.operator === '>=' && limit === 1n))
    return { ...node.left, name: 'any', type: bool };
  const threshold = { '>': limit + 1n, '>=': limit, '<': limit, '<=': limit + 1n }[node.operator];
  return threshold === undefined || threshold <= 1n ? node : { ...node, left: { ...node.left, threshold } };
}
