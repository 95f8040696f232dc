// Which source is asked, by flags and configuration.

import { describe, expect, test } from 'vitest';
import { chooseSource, readOptions, readPiped, type Wanted } from '../../plugins/fleet-client/source.ts';
import { buildFilter, emptyFilter } from '../../plugins/wire/filter.ts';

const config = { default_discovery_method: 'mc' };
const expression = buildFilter({ compound: 'with("web")' });
const choose = (wanted: Partial<Wanted>, configured: object = {}) =>
  chooseSource({ filter: emptyFilter, ...wanted }, { ...config, ...configured });

describe('the source', () => {
  test('is the broadcast, or what the configuration says', () => {
    expect(choose({})).toEqual({ source: 'broadcast', options: {}, notes: [] });
    expect(choose({}, { default_discovery_method: 'inventory' }).source).toBe('inventory');
    expect(choose({ method: 'mine' }, { default_discovery_method: 'inventory' }).source).toBe('mine');
  });

  test.each([
    ['mc', 'broadcast'],
    ['choria', 'puppetdb'],
    ['file', 'flatfile'],
  ])('%s is another name of %s', (alias, source) => {
    expect(choose({ method: alias }).source).toBe(source);
    expect(choose({}, { default_discovery_method: alias }).source).toBe(source);
  });

  test('a file of nodes comes before all else', () => {
    expect(choose({ nodesFile: 'x.json', method: 'inventory', piped: '{}', filter: expression })).toEqual({
      source: 'flatfile',
      options: { file: 'x.json' },
      notes: [],
    });
  });

  test('what was piped in comes next, unless a source was named', () => {
    expect(choose({ piped: '{"replies":[]}' }, { default_discovery_method: 'inventory' })).toEqual({
      source: 'flatfile',
      options: { format: 'rpc' },
      input: '{"replies":[]}',
      notes: [],
    });
    expect(choose({ piped: '["a.test"]' }).options).toEqual({ format: 'json' });
    expect(choose({ piped: '{}', method: 'inventory' }).source).toBe('inventory');
  });

  test.each(['puppetdb', 'choria', 'external'])(
    '%s is told of no expression: the nodes are asked, and the user is told',
    (method) => {
      const { source, notes } = choose({ filter: expression, method });
      expect(source).toBe('broadcast');
      expect(notes).toEqual([expect.stringContaining('can not evaluate the expression of -S')]);
    },
  );

  test.each(['inventory', 'mine', 'mc'])('%s is told of an expression', (method) => {
    expect(choose({ filter: expression, method }).notes).toEqual([]);
  });

  test('options of the configuration count where no flag gives any', () => {
    const configured = { default_discovery_method: 'mine', default_discovery_options: ['a=1', 'b=x=y'] };
    expect(choose({}, configured).options).toEqual({ a: '1', b: 'x=y' });
    expect(choose({ methodOptions: { c: '3' } }, configured).options).toEqual({ c: '3' });
  });

  test('the broadcast has no options, and says so', () => {
    expect(() => choose({ methodOptions: { site: 'x' } })).toThrow("broadcast has no option 'site'");
  });
});

test('an option is parted at the first = or :', () => {
  expect(readOptions(['a=b:c', 'd:e=f', 'g='])).toEqual({ a: 'b:c', d: 'e=f', g: '' });
  expect(() => readOptions(['novalue'])).toThrow("'novalue' is no option of a discovery method; write it as key=value");
});

test('what is piped in names nodes, or nothing', () => {
  expect(readPiped(' {"replies": []}\n')).toBe('{"replies": []}');
  expect(readPiped('\n')).toBeUndefined();
  expect(() => readPiped('a.test\n')).toThrow('what was piped in names no nodes');
});
