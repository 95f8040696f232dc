// Filters as queries of PuppetDB, and where PuppetDB is.

import { describe, expect, test } from 'vitest';
import { pqlOf } from '../../plugins/discovery/pql.ts';
import { addressOf } from '../../plugins/discovery/puppetdb.ts';
import { buildFilter, type FilterFlags } from '../../plugins/wire/filter.ts';

const ops = '(certname in inventory[certname] { facts.mcollective.server.collectives.match("\\d+") = "ops" })';
const query = (flags: FilterFlags) => pqlOf(buildFilter(flags), 'ops');
const role = (name: string) => `resources {type = "Class" and title = "${name}"}`;
const builtin = `(${role('Choria::Service')} or ${role('Mcollective::Service')})`;

describe('a filter as a query', () => {
  test.each<[FilterFlags, string]>([
    [
      { identities: ['h1', '/db/', 'pql: nodes[certname]{x=1}'] },
      'certname = "h1" or certname ~ "[dD][bB]" or certname in nodes[certname]{x=1}',
    ],
    [{ classes: ['role::web', '/web/'] }, `${role('Role::Web')} and resources {type = "Class" and title ~ "[wW][eE][bB]"}`],
    [{ agents: ['rpcutil'] }, builtin],
    [{ agents: ['scout', 'choria_util'] }, `${builtin} and ${builtin}`],
    [{ agents: ['puppet'] }, 'resources {type = "File" and tag = "mcollective_agent_puppet_server"}'],
    [{ agents: ['/pu/'] }, 'resources {type = "File" and tag ~ "mcollective_agent_.*?[pP][uU].*?_server"}'],
    [{ facts: ['a=v'] }, 'inventory {facts.a = "v"}'],
    [{ facts: ['a!=v'] }, 'inventory {!(facts.a = "v")}'],
    [{ facts: ['a=5'] }, 'inventory {facts.a = 5 or facts.a = "5"}'],
    [{ facts: ['a!=5'] }, 'inventory {!(facts.a = 5 or facts.a = "5")}'],
    [{ facts: ['a=true'] }, 'inventory {facts.a = true or facts.a = "true"}'],
    [{ facts: ['a=~/v1/'] }, 'inventory {facts.a ~ "[vV]1"}'],
    [{ facts: ['a>=5', 'b<1.5'] }, 'inventory {facts.a >= 5} and inventory {facts.b < 1.5}'],
  ])('%o', (flags, part) => {
    expect(query(flags)).toBe(`nodes[certname, deactivated] { ${ops} and (${part}) }`);
  });

  test('its parts are in the order collective, names, classes, agents, facts', () => {
    expect(query({ facts: ['a=v'], agents: ['puppet'], classes: ['web'], identities: ['/./'] })).toBe(
      `nodes[certname, deactivated] { ${ops} and (certname ~ ".") and (${role('Web')}) and (resources {type = "File" and tag = "mcollective_agent_puppet_server"}) and (inventory {facts.a = "v"}) }`,
    );
    expect(query({})).toBe(`nodes[certname, deactivated] { ${ops} }`);
  });

  test('values can not end their string', () => {
    expect(query({ classes: ['a"} or nodes{"b'] })).toContain('title = "A\\"} or nodes{\\"b"');
  });

  test('escapes and sets of a pattern keep their meaning', () => {
    expect(query({ identities: ['/^web\\d+[a-c9]$/'] })).toContain('certname ~ "^[wW][eE][bB]\\\\d+[a-cA-C9]$"');
  });

  test.each<[FilterFlags, string]>([
    [{ compound: 'true' }, 'puppetdb can not evaluate the expression of -S'],
    [{ facts: ['a>abc'] }, "puppetdb compares with > numbers only, and 'abc' of the fact a is none"],
    [{ facts: ['a b=c'] }, "puppetdb can not be asked for the fact 'a b'"],
    [{ identities: ['group:web'] }, '-I group:web is for --dm inventory'],
  ])('refused by name: %o', (flags, message) => {
    expect(() => query(flags)).toThrow(message);
  });
});

describe('where PuppetDB is', () => {
  const config = { 'plugin.choria.puppetdb_port': 8081, 'plugin.choria.use_srv': true };
  const records: Record<string, { name: string; port: number; priority: number; weight: number }[]> = {
    '_x-puppet-db._tcp.a.test': [
      { name: 'second', port: 1, priority: 20, weight: 1 },
      { name: 'first', port: 2, priority: 10, weight: 1 },
    ],
    '_x-puppet._tcp.b.test': [{ name: 'puppet.b', port: 8140, priority: 1, weight: 1 }],
  };
  const resolve = (name: string) => Promise.resolve(records[name] ?? []);
  const refuse = () => Promise.reject(new Error('no name server'));

  test('as configured', async () => {
    expect(await addressOf({ ...config, 'plugin.choria.puppetdb_host': 'db' }, 'a.test', resolve)).toEqual({
      host: 'db',
      port: 8081,
    });
  });

  test('as DNS tells: PuppetDB itself, else beside Puppet', async () => {
    expect(await addressOf(config, 'a.test', resolve)).toEqual({ host: 'first', port: 2 });
    expect(await addressOf(config, 'b.test', resolve)).toEqual({ host: 'puppet.b', port: 8081 });
  });

  test('else puppet', async () => {
    expect(await addressOf(config, 'c.test', resolve)).toEqual({ host: 'puppet', port: 8081 });
    expect(await addressOf(config, 'a.test', refuse)).toEqual({ host: 'puppet', port: 8081 });
    expect(await addressOf(config, undefined, resolve)).toEqual({ host: 'puppet', port: 8081 });
    expect(await addressOf({ ...config, 'plugin.choria.use_srv': false }, 'a.test', resolve)).toEqual({
      host: 'puppet',
      port: 8081,
    });
  });
});
