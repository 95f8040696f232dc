// An expression as a tree. The checker writes down what it knows of each node's type.

import type { Type } from './types.ts';

export type Node = Readonly<NodeBody> & NodeBase;

interface NodeBase {
  readonly at: number;
  readonly depth: number;
  /** What is known of the value before it is evaluated; nothing until it was checked. */
  type?: Type;
}

type NodeBody =
  | { kind: 'nil' }
  | { kind: 'constant'; value: boolean | bigint | number | string | Uint8Array }
  | { kind: 'identifier'; name: string }
  | { kind: 'unary'; operator: string; node: Node }
  | { kind: 'binary'; operator: string; left: Node; right: Node }
  /** Ends an optional chain: where a part of it is nil, all of it is. */
  | { kind: 'chain'; node: Node }
  | { kind: 'member'; node: Node; property: Node; optional: boolean; method: boolean }
  | { kind: 'slice'; node: Node; from: Node | undefined; to: Node | undefined }
  | { kind: 'call'; callee: Node; args: readonly Node[] }
  | {
      kind: 'builtin';
      name: string;
      args: readonly Node[] /** Count no further. */;
      threshold?: bigint /** Nothing found is an error. */;
      throws?: boolean;
    }
  | { kind: 'predicate'; node: Node }
  | { kind: 'pointer'; name: string }
  | { kind: 'let'; name: string; value: Node; body: Node }
  | { kind: 'sequence'; nodes: readonly Node[] }
  | { kind: 'conditional'; condition: Node; yes: Node; no: Node }
  | { kind: 'array'; nodes: readonly Node[] }
  | { kind: 'map'; pairs: readonly (readonly [Node, Node])[] };

export type NodeKind = Node['kind'];
export type NodeOf<K extends NodeKind> = Extract<Node, { kind: K }>;

/** The nodes directly below. */
export function childrenOf(node: Node): readonly Node[] {
  switch (node.kind) {
    case 'unary':
    case 'chain':
    case 'predicate':
      return [node.node];
    case 'binary':
      return [node.left, node.right];
    case 'member':
      return [node.node, node.property];
    case 'slice':
      return [node.node, ...(node.from ? [node.from] : []), ...(node.to ? [node.to] : [])];
    case 'call':
      return [node.callee, ...node.args];
    case 'builtin':
      return node.args;
    case 'let':
      return [node.value, node.body];
    case 'sequence':
    case 'array':
      return node.nodes;
    case 'conditional':
      return [node.condition, node.yes, node.no];
    case 'map':
      return node.pairs.flat();
    default:
      return [];
  }
}
