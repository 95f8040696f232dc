// DDLs: how they are read, how text becomes input, what is refused and with which words.

import { describe, expect, test } from 'vitest';
import { ddlWarnings, findAction, readDataDdl, readDdl, withOutputDefaults } from '../../plugins/wire/ddl.ts';
import { checkInput, checkQuery, completeInput, convertInput } from '../../plugins/wire/ddl-input.ts';

const metadata = {
  name: 'lamp',
  description: 'Controls lamps',
  author: 'Ada',
  license: 'MIT',
  version: '1.0.0',
  url: 'https://example.org',
  timeout: 5,
};
const ddlWith = (input: unknown, output: unknown = {}) => ({
  metadata,
  actions: [{ action: 'toggle', description: 'Flips', display: 'always', input, output }],
});
const action = (input: unknown, output: unknown = {}) => findAction(readDdl(ddlWith(input, output), 'lamp.json'), 'toggle');
const item = (fields: object) => action({ x: { prompt: 'X', description: 'X', optional: true, ...fields } });

/** The value that a text becomes, or the error. */
function converted(fields: object, text: string): unknown {
  try {
    return convertInput(item(fields), { x: text }).x;
  } catch (error) {
    return (error as Error).message.replace("invalid value for 'x': ", '');
  }
}

/** Empty if the value fits, else the error. */
function checked(fields: object, value: unknown): string {
  try {
    checkInput(item(fields), { x: value });
    return '';
  } catch (error) {
    return (error as Error).message.replace("validation failed for input 'x': ", '');
  }
}

describe('text becomes', () => {
  test.each([
    ['integer', '+12', 12],
    ['Integer', '-3', -3],
    ['integer', '1.5', "'1.5' is not a valid integer"],
    ['integer', ' 1', "' 1' is not a valid integer"],
    ['float', '1.5e3', 1500],
    ['float', '0x1.8p1', 3],
    ['float', '-0x10p0', -16],
    ['float', '1_000.5', 1000.5],
    ['float', 'x', "'x' is not a valid float"],
    ['float', 'NaN', "'NaN' is not a valid float"],
    ['number', '7', 7],
    ['number', 'seven', "'seven' is not a valid float"],
    ['boolean', 'T', true],
    ['boolean', 'False', false],
    ['boolean', 'yes', "'yes' is not a valid boolean"],
    ['string', '1', '1'],
    ['Hash', '{"a":[1]}', { a: [1] }],
    ['hash', '[1]', "'[1]' is not a valid JSON string with a hash inside"],
    ['ARRAY', '[1,{"b":2}]', [1, { b: 2 }]],
    ['array', '{}', "'{}' is not a valid JSON string with an array inside"],
    ['int', '1', "unsupported type 'int'"],
    ['', 'x', "unsupported type ''"],
  ])('%s: %s', (type, text, expected) => expect(converted({ type }, text)).toEqual(expected));

  test('a whole number that JSON could not carry exactly is refused', () => {
    expect(converted({ type: 'integer' }, '9007199254740993')).toMatch(
      /^'9007199254740993' is not a valid integer: it is too large/,
    );
  });
});

describe('a value', () => {
  test.each<[object, unknown, string]>([
    [{ type: 'integer' }, 3.0, ''],
    [{ type: 'integer' }, 3.1, 'is not an integer'],
    [{ type: 'int' }, 3, ''],
    [{ type: 'float' }, 3, ''],
    [{ type: 'float' }, '3', 'is not a float'],
    [{ type: 'number' }, true, 'is not a number'],
    [{ type: 'string' }, 3, 'is not a string'],
    [{ type: 'boolean' }, 'true', 'is not a boolean'],
    [{ type: 'list', list: ['a', 'b'] }, 'b', ''],
    [{ type: 'list', list: ['a', 'b'] }, 'c', 'should be one of a, b'],
    [{ type: 'list', list: ['a', 'b'] }, 1, 'should be a string'],
    [{ type: 'list' }, 'a', 'input type of list without a valid list of items in DDL'],
    [{ type: 'Hash' }, {}, ''],
    [{ type: 'Hash' }, [], 'is not a hash map'],
    [{ type: 'array' }, {}, 'is not an array'],
    [{ type: 'hash' }, null, 'is not a hash map'],
    [{ type: 'lamp' }, 1, "unsupported input type 'lamp'"],
  ])('%j: %j', (fields, value, expected) => expect(checked(fields, value)).toBe(expected));
});

describe('a string', () => {
  const fits = (validation: string | undefined, value: string, maxlength: number | undefined = 20) =>
    checked(
      { type: 'string', ...(validation !== undefined && { validation }), ...(maxlength !== undefined && { maxlength }) },
      value,
    );

  test('is not looked at without a maxlength', () => {
    expect(checked({ type: 'string', validation: 'shellsafe' }, 'a; b')).toBe('');
    expect(checked({ type: 'string', validation: '^a$', maxlength: 0 }, 'b')).toBe('');
  });

  test('is measured in bytes, before its validation', () => {
    expect(fits('^x', 'é'.repeat(11))).toBe('is longer than 20 characters');
    expect(fits(undefined, 'é'.repeat(10))).toBe('');
  });

  test.each([
    ['a`b$c', "may not contain '`'"],
    ['a$b`c', "may not contain '`'"],
    ['a>b;c', "may not contain ';'"],
    ['a|b', "may not contain '|'"],
    ['a&&b', "may not contain '&&'"],
    ['a&b "q" \n', ''],
  ])('shellsafe: %j', (value, expected) => expect(fits('shellsafe', value)).toBe(expected));

  test.each([
    ['ipv4address', '192.0.2.1', ''],
    ['ipv4address', '::ffff:192.0.2.1', ''],
    ['ipv4address', '::ffff:c000:201', ''],
    ['ipv4address', '192.0.02.1', '192.0.02.1 is not an IPv4 address'],
    ['ipv6address', '2001:db8::1', ''],
    ['ipv6address', '::ffff:192.0.2.1', '::ffff:192.0.2.1 is not an IPv6 address'],
    ['ipv6address', 'fe80::1%eth0', 'fe80::1%eth0 is not an IPv6 address'],
    ['ipaddress', '192.0.2.1', ''],
    ['ipaddress', 'fe80::1', ''],
    ['ipaddress', 'localhost', 'localhost is not an IP address'],
  ])('%s: %s', (validation, value, expected) => expect(fits(validation, value, 40)).toBe(expected));

  test.each([
    ['^\\w+$', 'lamp', ''],
    ['^\\w+$', 'a lamp', "input does not match '^\\w+$'"],
    ['\\d', 'a1b', ''],
    ['(?i)^LAMP$', 'lamp', ''],
    ['\\Alamp\\z', 'lamp', ''],
    ['^[\\p{L}]+$', 'Ä', ''],
    ['(?=x)', 'x', "invalid regex '(?=x)'"],
    ['^(a', 'a', "invalid regex '^(a'"],
    ['bool', 'anything', ''],
    ['host.+', 'anything', ''],
  ])('%s: %s', (validation, value, expected) => expect(fits(validation, value)).toBe(expected));

  // On a backtracking engine this would not come to an end.
  test('is matched in linear time whatever the pattern', () =>
    expect(checked({ type: 'string', validation: '^(a+)+$', maxlength: 60_000 }, `${'a'.repeat(50_000)}!`)).toMatch(
      /does not match/,
    ));
});

describe('a whole input', () => {
  const many = action({
    room: { type: 'string', optional: false, validation: '^\\w+$', maxlength: 10 },
    level: { type: 'integer', optional: true, default: 3 },
    Colour: { type: 'string', optional: true },
    off: { type: 'boolean', optional: true, default: false },
  });

  test('of a client gets defaults, and finds keys in any case', () => {
    expect(convertInput(many, { ROOM: 'attic', Colour: 'red' })).toEqual({ room: 'attic', level: 3, Colour: 'red', off: false });
    expect(completeInput(many, { room: 'attic', level: undefined })).toEqual({ room: 'attic', level: 3, off: false });
  });

  test.each<[string, () => unknown]>([
    ["input 'room' is required", () => convertInput(many, { level: '1' })],
    ["input 'sofa' has not been declared; toggle takes Colour, level, off, room", () => convertInput(many, { sofa: '1' })],
    ["input 'room' is required", () => checkInput(many, { level: 1 })],
    [
      "request contains an input 'sofa' that is not declared in the DDL. Valid inputs are: Colour, level, off, room",
      () => checkInput(many, { room: 'a', sofa: 1 }),
    ],
    ['request contains inputs while none are declared in the DDL', () => checkInput(action({}), { a: 1 })],
    ['the input is not an object', () => checkInput(many, [1])],
  ])('is refused: %s', (message, attempt) => expect(attempt).toThrow(message));

  test('may carry process_results, which old clients add', () =>
    expect(() => checkInput(action({}), { process_results: true })).not.toThrow());

  test('of a node does not get defaults: what is required has to be there', () => {
    const required = action({ x: { type: 'string', optional: false, default: 'y' } });
    expect(() => checkInput(required, {})).toThrow("input 'x' is required");
    expect(convertInput(required, {})).toEqual({ x: 'y' });
  });

  test('names that objects have by themselves are names like others', () => {
    const odd = action({ constructor: { type: 'string', optional: false } });
    expect(() => checkInput(odd, {})).toThrow("input 'constructor' is required");
    expect(() => convertInput(action({}), { constructor: 'x' })).toThrow("input 'constructor' has not been declared");
    const proto = convertInput(action(JSON.parse('{"__proto__":{"type":"string"}}')), { ['__proto__']: 'x' });
    expect(Object.entries(proto)).toEqual([['__proto__', 'x']]);
  });
});

describe('outputs', () => {
  const told = action(
    {},
    { state: { description: 's', display_as: 'S', default: 'unknown' }, level: { display_as: 'L', default: null } },
  );

  test('get defaults where they are missing', () => {
    expect(withOutputDefaults(told, { level: 2 })).toEqual({ level: 2, state: 'unknown' });
    expect(withOutputDefaults(told, { state: null })).toEqual({ state: null });
    expect(withOutputDefaults(told, '{}')).toBe('{}');
  });
});

describe('a document', () => {
  test('may leave out what is empty, and write keys in any case', () => {
    const ddl = readDdl({ Metadata: { NAME: 'x' }, Actions: [{ Action: 'go', Input: null, aggregate: null }] }, 'x.json');
    expect(ddl.metadata).toEqual({ name: 'x', description: '', author: '', license: '', version: '', url: '', timeout: 10 });
    expect(ddl.actions).toEqual([{ action: 'go', description: '', display: 'failed', input: {}, output: {}, aggregate: [] }]);
  });

  test.each<[string, unknown]>([
    ['lamp.json is no DDL: the document must be an object', []],
    ['lamp.json is no DDL: metadata.name is missing', {}],
    ['lamp.json is no DDL: metadata.timeout must be a whole number', { metadata: { name: 'x', timeout: '5' } }],
    ['lamp.json is no DDL: actions must be a list', { metadata: { name: 'x' }, actions: {} }],
    ['lamp.json is no DDL: actions.0 must be an object', { metadata: { name: 'x' }, actions: ['go'] }],
    ['lamp.json is no DDL: actions.0.input.x.type must be a string', ddlWith({ x: { type: 5 } })],
    ['lamp.json is no DDL: actions.0.input.x.list must be a list of strings', ddlWith({ x: { type: 'list', list: [1] } })],
    ['lamp.json is no DDL: actions.0.input.x.optional must be true or false', ddlWith({ x: { type: 'string', optional: 'no' } })],
  ])('is refused: %s', (message, document) => expect(() => readDdl(document, 'lamp.json')).toThrow(message));

  test('tells its author what does not do what it seems to', () => {
    const input = {
      a: { prompt: 'A', description: 'A', optional: true, type: 'string', validation: 'shellsafe' },
      b: { prompt: 'B', description: 'B', optional: true, type: 'string', validation: 'hostname', maxlength: 10 },
      c: { prompt: 'C', description: 'C', optional: true, type: 'string', validation: '(?=x)', maxlength: 10 },
      d: { prompt: 'D', description: 'D', optional: true, type: 'list' },
    };
    expect(ddlWarnings('agent', ddlWith(input))).toEqual([
      expect.stringMatching(/^the input toggle\.a has no maxlength/),
      expect.stringMatching(/^the input toggle\.b has the validation 'hostname', which is no known name/),
      expect.stringMatching(/^the input toggle\.c has the validation '\(\?=x\)', which is no RE2 pattern/),
      expect.stringMatching(/^the input toggle\.d is a list without values/),
    ]);
    expect(ddlWarnings('agent', { ...ddlWith({}), metadata: { ...metadata, version: 'one' } })).toEqual([
      expect.stringMatching(/^metadata\.version must match pattern/),
    ]);
  });
});

describe('a data plugin', () => {
  const ddl = (query: unknown) => readDataDdl({ metadata: { ...metadata, name: 'bulb' }, query, output: {} }, 'bulb.json');

  test('takes a query only if its DDL has one', () => {
    expect(() => checkQuery(ddl(null), 'x')).toThrow('the data plugin bulb takes no query');
    expect(() => checkQuery(ddl(null), undefined)).not.toThrow();
    const asked = ddl({ type: 'string', optional: false, validation: '^\\w+$', maxlength: 5 });
    expect(() => checkQuery(asked, undefined)).toThrow("input 'query' is required");
    expect(() => checkQuery(asked, 'a b')).toThrow("input does not match '^\\w+$'");
    expect(() => checkQuery(asked, 'ab')).not.toThrow();
  });
});
