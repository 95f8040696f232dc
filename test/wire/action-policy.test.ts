// Action policies as Choria's servers read them, to the letter: a policy that was written for them decides the same here.

import { describe, expect, test } from 'vitest';
import { decide, parseGroups, parsePolicy } from '../../plugins/wire/policy.ts';

const facts = { site: 'lab', cores: 8, os: { family: 'Debian' } };
const groups = 'ops choria=anna\n# nobody\n\nlate choria=anna\r\n';

/** Whether anna may do `status` on a node of the lab with the class role::lamp. */
const allows = (policy: string, { defaultAllow = false } = {}) =>
  decide(parsePolicy(policy, { defaultAllow }), {
    caller: 'choria=anna',
    action: 'status',
    facts,
    classes: ['role::lamp', 'base'],
    groups: parseGroups(groups).members,
  }).allowed;

describe('anna is allowed by', () => {
  test.each([
    ['her name', 'allow\tchoria=anna\tstatus\t*\t*'],
    ['one of several names and actions', 'allow\tchoria=bob choria=anna\ttoggle status\t*\t*'],
    ['her group', 'allow\tops\t*\t*\t*'],
    ['a group in a file with ends of lines of Windows', 'allow\tlate\t*\t*\t*'],
    ['her group, though a pattern beside it can not be read', 'allow\t/(/ ops\t*\t*\t*'],
    ['a pattern', 'allow\t/^choria=a/\t*\t*\t*'],
    ['all conditions together', 'allow\t*\t*\tsite=LAB os.family=/^deb/ cores>=8\trole::lamp /BASE/'],
    ['several tabs between columns', 'allow\t\t*\t\t*\t*\t\t*'],
    ['the last of more than five columns', 'allow\t*\t*\t*\trole::none\t*'],
    ['lines with ends of Windows', 'allow\t*\t*\t*\trole::lamp\r'],
    ['a default', 'policy default allow'],
    ['a default with ends of Windows', 'policy default allow\r'],
    ['a default with tabs in it, and a remark behind it', 'policy\tdefault  allow # for now'],
    ['the default that was stated last', 'policy default deny\npolicy default allow'],
    ['a default, since a compound deny is passed over', 'policy default allow\ndeny\t*\t*\tsite=lab and cores=8\t*'],
    ['the next rule after a comparison that makes no sense', 'deny\t*\t*\tos>1\t*\nallow\t*\t*\t*\t*'],
  ])('%s', (_what, policy) => expect(allows(policy)).toBe(true));

  test('what stands for a file without a default', () => expect(allows('# nothing', { defaultAllow: true })).toBe(true));
});

describe('anna is not allowed by', () => {
  test.each([
    ['blanks in place of tabs', 'allow * * * *'],
    ['a line that begins with a blank', ' allow\t*\t*\t*\t*'],
    ['an effect in capitals', 'Allow\t*\t*\t*\t*'],
    ['a star with a blank behind it', 'allow\t* \t*\t*\t*'],
    ['classes with a tab behind them', 'allow\t*\t*\t*\t*\t'],
    ['an action in another case', 'allow\t*\tStatus\t*\t*'],
    ['a pattern in another case', 'allow\t/ANNA/\t*\t*\t*'],
    ['an empty pattern', 'allow\t//\t*\t*\t*'],
    ['half a pattern before her name is found', 'allow\t/x choria=anna\t*\t*\t*'],
    ['a class in another case', 'allow\t*\t*\t*\tRole::Lamp2'],
    ['a rule behind one that denies her', 'deny\tops\t*\t*\t*\nallow\t*\t*\t*\t*'],
    ['a rule behind one without classes', 'allow\t*\t*\t*\nallow\t*\t*\t*\t*'],
    ['a rule behind one with a fact in the column of classes', 'allow\t*\t*\tsite=moon\tsite=lab\nallow\t*\t*\t*\t*'],
    ['a rule behind one with what is no condition', 'allow\t*\t*\tsite=moon lab\t*\nallow\t*\t*\t*\t*'],
    ['a compound rule', 'allow\t*\t*\t(site=lab)\t*'],
    ['a compound class', 'allow\t*\t*\t*\t!role::none'],
    ['a default of another word', 'policy default allowed'],
    ['a default with a blank before it', ' policy default allow'],
  ])('%s', (_what, policy) => expect(allows(policy)).toBe(false));
});

test('lines that count for nothing are told of, with their number', () => {
  const { warnings } = parsePolicy('# fine\nallow * * * *\npolicy default\ndeny\t*\t*\tnot site=lab\t*\n');
  expect(warnings).toEqual([
    expect.stringMatching(/^line 2 is no rule: .*tabs between/),
    expect.stringMatching(/^line 3 is no rule/),
    expect.stringMatching(/^line 4 is passed over, also if it denies/),
  ]);
  expect(parseGroups('ops\n\no!ps choria=anna\n').warnings).toEqual([
    expect.stringMatching(/^line 1 is no group/),
    expect.stringMatching(/^line 3 is no group/),
  ]);
});
