// Summaries of replies, as DDLs ask for them.

import { describe, expect, test } from 'vitest';
import { aggregate } from '../../plugins/fleet-client/aggregate.ts';
import { findAction, readDdl } from '../../plugins/wire/ddl.ts';

function summarize(specs: readonly object[], values: readonly unknown[]) {
  const ddl = readDdl(
    { metadata: { name: 'x' }, actions: [{ action: 'go', output: { v: { display_as: 'Value' } }, aggregate: specs }] },
    'x',
  );
  return aggregate(
    findAction(ddl, 'go'),
    values.map((v) => ({ data: { v } })),
  );
}

const one = (spec: object, values: readonly unknown[]) => summarize([spec], values)[0];

describe('summary', () => {
  test('counts values, the most frequent first, right-aligned', () => {
    expect(one({ function: 'summary', args: ['v'] }, ['b', 'aaa', 'b', 1, true, ['x']])).toEqual({
      output: 'v',
      displayAs: 'Value',
      result: { b: 2, aaa: 1, '1': 1, true: 1, '["x"]': 1 },
      lines: ['    b: 2', '  aaa: 1', '    1: 1', ' true: 1', '["x"]: 1'],
    });
  });

  test('has labels for values, and a format', () => {
    const options = { format: '%s on %d nodes', true: 'lit', false: 'dark' };
    expect(one({ function: 'boolean_summary', args: ['v', options] }, [true, false, true])).toMatchObject({
      result: { lit: 2, dark: 1 },
      lines: ['lit on 2 nodes', 'dark on 1 nodes'],
    });
  });
});

describe('average', () => {
  test.each<[readonly unknown[], object, string[]]>([
    [[1, '2', 4.5], {}, ['Average: 2.500']],
    [[1, 'x', null, 2], {}, ['Average: 1.500']],
    // Ties between two decimals go to the even one.
    [[0.0625], { format: '%.3f s' }, ['0.062 s']],
    [[], {}, []],
  ])('of %j', (values, options, lines) =>
    expect(one({ function: 'average', args: ['v', options] }, values)?.lines).toEqual(lines),
  );
});

describe('chart', () => {
  // Drawn by github.com/guptarohit/asciigraph 0.9.0 with height 15, width 60, offset 5.
  test('draws the values in their order', () => {
    const drawn = [
      ' 2.98   ┤                             ╭╮',
      ' 2.85   ┤                           ╭─╯╰───╮',
      ' 2.72   ┤                         ╭─╯      ╰───╮',
      ' 2.59   ┤                       ╭─╯            ╰──╮',
      ' 2.45   ┤                     ╭─╯                 ╰───╮',
      ' 2.32   ┤                   ╭─╯                       ╰───╮',
      ' 2.19   ┤                 ╭─╯                             ╰───╮',
      ' 2.06   ┤               ╭─╯                                   ╰───╮',
      ' 1.93   ┤             ╭─╯                                         ╰─',
      ' 1.79   ┤           ╭─╯',
      ' 1.66   ┤         ╭─╯',
      ' 1.53   ┤       ╭─╯',
      ' 1.40   ┤     ╭─╯',
      ' 1.26   ┤   ╭─╯',
      ' 1.13   ┤ ╭─╯',
      ' 1.00   ┼─╯',
    ];
    const chart = one({ function: 'chart', args: ['v'] }, [1, '3', 2]);
    expect(chart?.lines).toEqual(drawn);
    expect(chart?.result).toEqual({ chart: drawn.join('\n') });
  });

  test('of one value is a line, and of none is nothing', () => {
    expect(one({ function: 'chart', args: ['v'] }, [5])?.lines).toEqual([` 5.00   ┼${'─'.repeat(59)}`]);
    expect(one({ function: 'chart', args: ['v'] }, ['x'])?.lines).toEqual([]);
  });
});

test('what makes no sense is passed over, and a later one of an output replaces an earlier one', () => {
  const specs = [
    { function: 'average', args: ['v'] },
    { function: 'nonsense', args: ['v'] },
    { function: 'summary', args: 'v' },
    { function: 'summary', args: [1] },
    { function: 'summary', args: ['v'] },
  ];
  expect(summarize(specs, ['a']).map(({ lines }) => lines)).toEqual([['a: 1']]);
});
