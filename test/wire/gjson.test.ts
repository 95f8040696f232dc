// Paths of gjson. Results are those of gjson itself; undefined stands for nothing.

import { describe, expect, test } from 'vitest';
import { lookup } from '../../plugins/wire/facts.ts';

const facts: unknown = {
  'app.version': '2.0',
  coded: '[1,{"a":2}]',
  disks: [
    {
      name: 'nvme0',
      size: 64,
      ssd: true,
    },
    {
      name: 'sda',
      size: 2000,
      ssd: false,
    },
    {
      name: 'sdb',
      size: 2000,
      spare: true,
      parts: [
        {
          id: 'b1',
          fs: 'ext4',
        },
        {
          id: 'b2',
          fs: 'swap',
        },
      ],
    },
  ],
  mixed: [
    1,
    2.5,
    'x',
    null,
    true,
    [1, [2, [3]]],
    {
      b: 1,
    },
  ],
  motto: 'Steady',
  n: null,
  net: {
    eth0: {
      mtu: 1500,
      ips: ['10.0.0.1'],
    },
    eth1: {
      mtu: 9000,
      ips: [],
    },
    lo: {
      up: true,
    },
  },
  os: {
    family: 'Debian',
    release: {
      full: '12.11',
      major: '12',
    },
  },
  'q*': 'star',
  t: true,
  table: {
    id: [1, 2],
    name: ['a', 'b'],
  },
  tags: ['1', '2'],
};

describe('names and places', () => {
  test.each<[string, unknown]>([
    ['motto', 'Steady'],
    ['os.release.major', '12'],
    ['tags.1', '2'],
    ['tags.7', undefined],
    ['tags.x', undefined],
    ['motto.x', undefined],
    ['n', null],
    ['nosuch', undefined],
    ['app\\.version', '2.0'],
    ['q\\*', 'star'],
  ])('%s', (path, expected) => {
    expect(lookup(facts, path)).toEqual(expected);
  });
});

describe('wildcards', () => {
  test.each<[string, unknown]>([
    ['net.eth?.mtu', 1500],
    ['net.*.up', true],
    ['*s.family', 'Debian'],
    ['net.*.nosuch', undefined],
    ['*.release.full', '12.11'],
  ])('%s', (path, expected) => {
    expect(lookup(facts, path)).toEqual(expected);
  });
});

describe('lists', () => {
  test.each<[string, unknown]>([
    ['tags.#', 2],
    ['disks.#.name', ['nvme0', 'sda', 'sdb']],
    ['disks.#.spare', [true]],
    ['disks.#.parts.#.id', [['b1', 'b2']]],
    ['mixed.#', 7],
    ['disks.#.nosuch', []],
    ['tags.#.x', []],
  ])('%s', (path, expected) => {
    expect(lookup(facts, path)).toEqual(expected);
  });
});

describe('queries', () => {
  test.each<[string, unknown]>([
    ['disks.#(name=="sda").size', 2000],
    ['disks.#(size>100).name', 'sda'],
    ['disks.#(size>100)#.name', ['sda', 'sdb']],
    ['disks.#(size>5000)#', []],
    ['disks.#(size>5000)', undefined],
    ['disks.#(name%"sd*")#.name', ['sda', 'sdb']],
    ['disks.#(name!%"sd*")#.name', ['nvme0']],
    ['disks.#(name!="sda")#.size', [64, 2000]],
    ['disks.#(size<=64).name', 'nvme0'],
    ['disks.#(spare).name', 'sdb'],
    ['disks.#(ssd==true).name', 'nvme0'],
    ['disks.#(ssd!=true).name', 'sda'],
    ['disks.#(ssd==~false)#.name', ['sda', 'sdb']],
    ['disks.#(spare==~null)#.name', ['nvme0', 'sda']],
    ['disks.#(spare==~*)#.name', ['sdb']],
    ['tags.#(=="2")', '2'],
    ['tags.#(%"?")#', ['1', '2']],
    ['tags.#(>"1")#', ['2']],
    ['mixed.#(>1)#', [2.5, 'x']],
    ['disks.#(parts.#(fs=="swap")).name', 'sdb'],
    ['disks.#(parts.#(fs=="swap")#)#.parts.#(fs=="swap")#.id', [['b2']]],
    ['disks.#(name=="sda").nosuch', undefined],
    ['disks.#(name=sda).size', 2000],
    ['disks.#(name=="sda")#|0.size', 2000],
    ['disks.#(name=="sda"', undefined],
  ])('%s', (path, expected) => {
    expect(lookup(facts, path)).toEqual(expected);
  });
});

describe('pipes', () => {
  test.each<[string, unknown]>([
    ['disks.#.name|0', 'nvme0'],
    ['disks.#.name.0', []],
    ['disks|#', 3],
    ['os|release|major', '12'],
    ['nosuch|@keys', []],
    ['disks.#(size>100)#|#', 2],
  ])('%s', (path, expected) => {
    expect(lookup(facts, path)).toEqual(expected);
  });
});

describe('several paths', () => {
  test.each<[string, unknown]>([
    ['[motto,os.family,nosuch]', ['Steady', 'Debian']],
    ['{motto,os.family}', { family: 'Debian', motto: 'Steady' }],
    ['{m:motto,"f":os.family,nosuch}', { f: 'Debian', m: 'Steady' }],
    ['{disks.#,tags.@reverse}', { '@reverse': ['2', '1'], _: 3 }],
    ['os.{family,"r":release.major}', { family: 'Debian', r: '12' }],
    ['[motto,tags].1.0', '1'],
    [
      'disks.#.{name,size}',
      [
        { name: 'nvme0', size: 64 },
        { name: 'sda', size: 2000 },
        { name: 'sdb', size: 2000 },
      ],
    ],
  ])('%s', (path, expected) => {
    expect(lookup(facts, path)).toEqual(expected);
  });
});

describe('modifiers', () => {
  test.each<[string, unknown]>([
    ['tags.@reverse', ['2', '1']],
    ['os.@reverse.@keys', ['release', 'family']],
    ['os.@keys', ['family', 'release']],
    [
      'table.@values',
      [
        [1, 2],
        ['a', 'b'],
      ],
    ],
    ['tags.@keys', [null, null]],
    ['mixed.@flatten', [1, 2.5, 'x', null, true, 1, [2, [3]], { b: 1 }]],
    ['mixed.@flatten:{"deep":true}', [1, 2.5, 'x', null, true, 1, 2, 3, { b: 1 }]],
    ['disks.@join.name', 'sdb'],
    ['disks.@join:{"preserve":true}.name', 'nvme0'],
    [
      'table.@group',
      [
        { id: 1, name: 'a' },
        { id: 2, name: 'b' },
      ],
    ],
    ['table.@tostr', '{"id":[1,2],"name":["a","b"]}'],
    ['motto.@tostr', '"Steady"'],
    ['coded.@fromstr.1.a', 2],
    ['coded.@fromstr|1|a', 2],
    ['os.@this.family', 'Debian'],
    ['os|@pretty|@ugly|family', 'Debian'],
    ['os.@valid.family', 'Debian'],
    ['@dig:mtu', [1500, 9000]],
    ['@this.motto', 'Steady'],
    ['os.@nosuch', undefined],
  ])('%s', (path, expected) => {
    expect(lookup(facts, path)).toEqual(expected);
  });
});

describe('literals and lines', () => {
  test.each<[string, unknown]>([
    ['!"text"', 'text'],
    ['!true', true],
    ['!null', null],
    ['!{"a":[1,2]}.a.1', 2],
    ['{motto,"host":!"web1"}', { host: 'web1', motto: 'Steady' }],
    ['..#', 1],
    ['..0.motto', 'Steady'],
  ])('%s', (path, expected) => {
    expect(lookup(facts, path)).toEqual(expected);
  });
});

describe('paths that are meant to hurt find nothing, soon', () => {
  const deep = { list: Array.from({ length: 3_000 }, () => ({ list: Array.from({ length: 3_000 }, (_none, index) => index) })) };
  test.each([
    ['paths in paths', `${'['.repeat(5_000)}motto${']'.repeat(5_000)}`],
    ['pipes', Array.from({ length: 5_000 }, () => '@this').join('|')],
    ['every element of every element', 'list.#(list.#(>2998))#.list.#(>5000)'],
    ['stars', `nosuch${'*a'.repeat(2_000)}`],
  ])('%s', (_what, path) => {
    const begun = performance.now();
    expect(lookup(deep, path) ?? []).toEqual([]);
    expect(performance.now() - begun).toBeLessThan(5_000);
  });

  test('what every object has from JavaScript is not there', () => {
    for (const path of ['__proto__', 'constructor.name', 'list.length', 'list.0.toString'])
      expect(lookup(deep, path)).toBeUndefined();
  });
});
