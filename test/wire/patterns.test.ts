// A pattern that takes a backtracking engine longer than the universe will last, everywhere where one may stand.

import { X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { discover } from '../../plugins/discovery/flatfile.ts';
import { findNodes, readInventory } from '../../plugins/discovery/inventory.ts';
import { issueFiles, openAuthority } from '../../plugins/overlay/ca.ts';
import { compilePatterns, TrustStore } from '../../plugins/security-x509/certificates.ts';
import { compileCompound, evaluateBool, nodeEnvironment } from '../../plugins/wire/compound.ts';
import { readDdl } from '../../plugins/wire/ddl.ts';
import { checkInput } from '../../plugins/wire/ddl-input.ts';
import { Budget } from '../../plugins/wire/expr/index.ts';
import { matchFact } from '../../plugins/wire/fact-string.ts';
import { buildFilter, emptyFilter, matchAgent, matchClass, matchIdentity } from '../../plugins/wire/filter.ts';
import { localMatcher } from '../../plugins/wire/local-filter.ts';
import { decide, parsePolicy } from '../../plugins/wire/policy.ts';
import { compileReplyFilter } from '../../plugins/wire/reply-filter.ts';
import { temporaryFolder } from '../support/folders.ts';

const evil = '(a+)+$';
/** Ends such that the pattern fits nowhere; 2^60 ways to find out by trying. */
const long = `${'a'.repeat(60)}!`;
const short = 'aaa';
const limitMs = 5_000;

const { path: folder, remove } = temporaryFolder();
afterAll(remove);

const node = { identity: long, agents: [long], classes: [long], facts: { name: long, deep: { names: [long] } } };
const matches = (expression: string) => {
  const environment = nodeEnvironment(node, [], () => null);
  return evaluateBool(compileCompound(expression, []), environment, new Budget(), Date.now());
};
const policy = (rule: string) =>
  decide(parsePolicy(`policy default deny\n${rule}\n`), {
    caller: `choria=${long}`,
    action: 'go',
    facts: node.facts,
    classes: node.classes,
    groups: new Map(),
  }).allowed;
const ddl = (input: object, output: object = {}) =>
  readDdl(
    {
      metadata: { name: 'x', description: 'x', author: 'x', license: 'x', version: '1.0.0', url: 'x', timeout: 10 },
      actions: [{ action: 'go', description: 'x', display: 'always', input, output }],
    },
    'test',
  ).actions[0];
const accepts = (value: unknown) => {
  const input = { text: { prompt: 'x', description: 'x', type: 'string', optional: false, validation: evil, maxlength: 500 } };
  const action = ddl(input);
  if (!action) throw new Error('the DDL has no action');
  try {
    checkInput(action, { text: value });
    return true;
  } catch {
    return false;
  }
};
const inventory = () => {
  const schema = 'https://choria.io/schemas/choria/discovery/v1/inventory_file.json';
  const facts = { name: long };
  const nodes = [{ name: 'n.test', collectives: ['mcollective'], facts, classes: [long], agents: ['rpcutil'] }];
  const groups = [
    { name: 'facts', filter: { facts: [`name=~/${evil}/`] } },
    { name: 'classes', filter: { classes: [`/${evil}/`] } },
    { name: 'names', filter: { identities: [`/${evil}/`] } },
    { name: 'compound', filter: { compound: `fact("name") matches "${evil}"` } },
  ];
  writeFileSync(join(folder, 'fleet.json'), JSON.stringify({ $schema: schema, groups, nodes }));
  return readInventory(join(folder, 'fleet.json'));
};
const group = (name: string) =>
  findNodes(inventory(), { filter: buildFilter({ identities: [`group:${name}`] }), collective: 'mcollective' }).length > 0;
const flatfile = (pattern: string) => {
  const name = 'a'.repeat(60);
  writeFileSync(join(folder, 'nodes.txt'), `${name}.test\n`);
  const filter = buildFilter({ identities: [pattern] });
  const asked = { filter, collective: 'mcollective', timeoutMs: 1_000, options: { file: 'nodes.txt' }, folder };
  return discover(asked).nodes.length > 0;
};
const reply = { sender: long, statuscode: 0, statusmsg: long, data: { name: long }, time: new Date() };

const places: readonly (readonly [string, () => boolean])[] = [
  ['a fact filter', () => matchFact(node.facts, { fact: 'name', operator: '=~', value: `/${evil}/` })],
  ['a filter for classes', () => matchClass(`/${evil}/`, node.classes)],
  ['a filter for names', () => matchIdentity(`/${evil}/`, node.identity)],
  ['a filter for agents', () => matchAgent(`/${evil}/`, node.agents)],
  ['an expression', () => matches(`fact("name") matches "${evil}"`)],
  ['an expression whose pattern is a fact', () => matches(`"${long}" matches "(a+)" + "+$"`)],
  ['an expression with a fact filter in it', () => matches(`with("name=~/${evil}/")`)],
  ['an expression with a class in it', () => matches(`with("/${evil}/")`)],
  ['an expression over lists', () => matches(`any(classes, # matches "${evil}")`)],
  ['a query within facts', () => matches('fact(`deep.names.#(%"*a*a*a*a*a*a*a*a*a*a*a*b")`) == "x"')],
  [
    'a filter that is held against nodes here',
    () => localMatcher(buildFilter({ compound: `fact("name") matches "${evil}"` }))(node),
  ],
  ['the validation of an input', () => accepts(long)],
  ['a policy on callers', () => policy(`allow\t/${evil}/\t*\t*\t*`)],
  ['a policy on facts', () => policy(`allow\t*\t*\tname=~/${evil}/\t*`)],
  ['a policy on classes', () => policy(`allow\t*\t*\t*\t/${evil}/`)],
  ['a group of an inventory by facts', () => group('facts')],
  ['a group of an inventory by classes', () => group('classes')],
  ['a group of an inventory by names', () => group('names')],
  ['a group of an inventory by an expression', () => group('compound')],
  ['a file of nodes', () => flatfile('/(a+)+!$/')],
  ['a filter of replies on data', () => compileReplyFilter(`data("name") matches "${evil}"`)(reply)],
  ['a filter of replies on messages', () => compileReplyFilter(`msg matches "${evil}"`)(reply)],
  ['a filter of replies on senders', () => compileReplyFilter(`sender() matches "${evil}"`)(reply)],
];

describe(`${evil} decides at once`, () => {
  test.each(places)('in %s', (_what, fits) => {
    const begun = performance.now();
    expect(fits()).toBe(false);
    expect(performance.now() - begun).toBeLessThan(limitMs);
  });

  test('in lists of certificates that are allowed and privileged', async () => {
    const authority = await openAuthority(join(folder, 'ca'), 'Test CA');
    const { cert, ca } = await issueFiles(authority, { commonName: long.replace('!', '.b') });
    const [pem, roots] = [readFileSync(cert, 'utf8'), [new X509Certificate(readFileSync(ca))]];
    for (const lists of [{ allowed: [evil] }, { privileged: [evil], allowed: [] }]) {
      const trust = new TrustStore({
        roots,
        allowed: compilePatterns(lists.allowed),
        privileged: compilePatterns(lists.privileged ?? []),
      });
      const begun = performance.now();
      expect(() => trust.verify(pem, long.replace('!', '.b'), Date.now())).toThrow(
        'is not on the list of allowed certificate names',
      );
      expect(performance.now() - begun).toBeLessThan(limitMs);
    }
  });
});

test('it is the pattern that fits nowhere, and not that nothing fits', () => {
  const plain = { ...node, identity: short, agents: [short], classes: [short], facts: { name: short } };
  const filter = { ...emptyFilter, identity: [`/${evil}/`], cf_class: [`/${evil}/`], agent: [`/${evil}/`] };
  expect(localMatcher({ ...filter, fact: [{ fact: 'name', operator: '=~', value: `/${evil}/` }] })(plain)).toBe(true);
  expect(accepts(short)).toBe(true);
  expect(compileReplyFilter(`msg matches "${evil}"`)({ ...reply, statusmsg: short })).toBe(true);
});
