// Filters on a node: evaluations a second for each kind, beside a closure that makes the same comparison.

import { Expressions } from '../../plugins/fleet-server/expressions.ts';
import { buildFilter, type FilterFlags, matchFilter, type NodeFacts } from '../../plugins/wire/filter.ts';
import { median, type Row, report } from './report.ts';

const rounds = 7;
const roundMs = 200;

const facts = {
  cores: 8,
  os: { family: 'Debian', release: { major: '12' } },
  disks: [
    { name: 'nvme0', size: 64 },
    { name: 'sda', size: 2000 },
  ],
};
const node: NodeFacts = {
  identity: 'web1.example.net',
  agents: ['discovery', 'puppet', 'rpcutil', 'service'],
  classes: Array.from({ length: 100 }, (_none, index) => `profile::n${index}`),
  facts,
};

const status = { state: 'running' };
/** A data plugin that has told, as it is for two seconds after an answer. */
const sources = {
  functions: [{ name: 'unit', takesQuery: true }],
  recall: () => ({ data: status }),
  get: () => Promise.resolve(status),
};
const quiet = { log: { warn: () => undefined, error: () => undefined } };

interface Case {
  readonly what: string;
  readonly flags: FilterFlags;
  /** The same comparison without a filter. */
  readonly bare: () => boolean;
}

const cases: readonly Case[] = [
  { what: 'identity', flags: { identities: ['web1.example.net'] }, bare: () => node.identity === 'web1.example.net' },
  { what: 'class', flags: { classes: ['profile::n70'] }, bare: () => node.classes.includes('profile::n70') },
  { what: 'fact', flags: { facts: ['os.family=debian'] }, bare: () => facts.os.family.toLowerCase() === 'debian' },
  {
    what: 'simple expression',
    flags: { compound: "with('profile::n70') and fact('cores') > 4" },
    bare: () => node.classes.includes('profile::n70') && facts.cores > 4,
  },
  {
    what: 'expression with a loop',
    flags: { compound: "any(fact('disks'), .size > 1000) and fact('os.release.major') in ['11', '12']" },
    bare: () => facts.disks.some(({ size }) => size > 1000) && ['11', '12'].includes(facts.os.release.major),
  },
  {
    what: 'expression with a data plugin that has told',
    flags: { compound: "unit('nginx').state == 'running'" },
    bare: () => status.state === 'running',
  },
];

export async function run(): Promise<void> {
  const expressions = new Expressions(quiet as never, sources as never);
  const rows = cases.flatMap(({ what, flags, bare }): Row[] => {
    const filter = buildFilter(flags);
    const match = () => {
      const verdict = matchFilter(filter, node, (compound) => expressions.match(compound, node));
      return typeof verdict === 'boolean' ? verdict : 'fits' in verdict && verdict.fits;
    };
    const rates: { bare: number[]; filter: number[] } = { bare: [], filter: [] };
    for (let round = 0; round < rounds; round += 1) {
      rates.bare.push(perSecond(bare));
      rates.filter.push(perSecond(match));
    }
    const ratio = median(rates.filter) / median(rates.bare);
    return [
      { what: `${what}: closure (floor)`, median: median(rates.bare), unit: 'evaluations/s' },
      { what, median: median(rates.filter), unit: 'evaluations/s', ratio },
    ];
  });
  report('filters', `${rounds} rounds of ${roundMs} ms, 100 classes, Node ${process.version}`, rows);
}

/** @throws Error if it is ever false */
function perSecond(evaluate: () => boolean): number {
  const begun = performance.now();
  let count = 0;
  for (; performance.now() - begun < roundMs; count += 1_000)
    for (let again = 0; again < 1_000; again += 1) if (!evaluate()) throw new Error('a filter did not fit');
  return count / ((performance.now() - begun) / 1000);
}
