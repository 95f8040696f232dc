// Debian's PuppetDB is asked for nodes, with the certificates of a client.

import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { issueFiles, openAuthority } from '../../plugins/overlay/ca.ts';
import { type Asked, namesOf } from '../support/discovery.ts';
import { freePort, temporaryFolder } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';
import { type KnownMachine, PuppetDb } from '../support/puppetdb.ts';

const { path: folder, remove } = temporaryFolder();
const collectives = (...names: string[]) => ({ mcollective: { server: { collectives: names } } });
const machines: readonly KnownMachine[] = [
  {
    certname: 'web1.test',
    facts: { ...collectives('ops', 'web'), os: { family: 'Debian' }, cpus: 4, rack: '7', virtual: true, release: 'v1.2' },
    classes: ['Role::Web', 'Choria::Service'],
    tags: ['mcollective_agent_puppet_server'],
  },
  {
    certname: 'db1.test',
    facts: { ...collectives('ops'), os: { family: 'RedHat' }, cpus: 16, rack: 7, virtual: false, release: 'V2.0' },
    classes: ['Role::Db', 'Mcollective::Service'],
  },
  { certname: 'lab1.test', facts: { ...collectives('lab'), cpus: 2 }, classes: ['Role::Web'] },
  { certname: 'old1.test', facts: { ...collectives('ops'), cpus: 4 }, classes: ['Role::Web'], deactivated: true },
];
let server: PuppetDb;

beforeAll(async () => {
  const authority = await openAuthority(join(folder, 'ca'), 'Test CA');
  server = await PuppetDb.start(
    folder,
    await issueFiles(authority, { commonName: 'puppetdb.test', names: ['localhost', '127.0.0.1'] }),
  );
  for (const machine of machines) await server.tell(machine);
  await server.settled(machines.map(({ certname }) => certname));
}, 280_000);
afterAll(async () => {
  await server?.stop();
  remove();
});

describe.each([['inline'], ['persistent']] as const)('%s', (runner) => {
  let host: TestHost;
  const start = async (port: number) => {
    const files = await issueFiles(await openAuthority(join(folder, 'ca'), 'Test CA'), { commonName: 'operator.mcollective' });
    return startHost({
      distribution: true,
      ...(runner === 'persistent' && { inlineAs: runner }),
      config: {
        identity: 'operator.mcollective',
        'plugin.security.provider': 'file',
        'plugin.security.file.certificate': files.cert,
        'plugin.security.file.key': files.key,
        'plugin.security.file.ca': files.ca,
        'plugin.choria.puppetdb_host': '127.0.0.1',
        'plugin.choria.puppetdb_port': port,
      },
    });
  };
  beforeAll(async () => {
    host = await start(server.port);
  });
  afterAll(() => host.stop());
  const find = async (asked: Asked = {}) =>
    (await namesOf(host, 'puppetdb', { collective: 'ops', timeoutMs: 30_000, ...asked })).sort();

  test.each<[string, Asked, string[]]>([
    ['the nodes of a collective, without those that were deactivated', {}, ['db1.test', 'web1.test']],
    ['another collective', { collective: 'lab' }, ['lab1.test']],
    ['a class', { classes: ['role::web'] }, ['web1.test']],
    ['a pattern of classes, without regard to case', { classes: ['/WEB$/'] }, ['web1.test']],
    ['a name that is in the collective', { identities: ['web1.test'], facts: ['cpus>1'] }, ['web1.test']],
    ['a pattern of names with an escape and a set', { identities: ['/^[a-e]B\\d/'] }, ['db1.test']],
    ['a query', { identities: ['pql: nodes[certname] { certname ~ "^web" }'] }, ['web1.test']],
    ['an agent that every node has', { agents: ['rpcutil'] }, ['db1.test', 'web1.test']],
    ['an agent that Puppet brought', { agents: ['puppet'] }, ['web1.test']],
    ['a pattern of agents', { agents: ['/PUP/'] }, ['web1.test']],
    ['a fact', { facts: ['os.family=Debian'] }, ['web1.test']],
    ['a fact that is not so', { facts: ['os.family!=Debian'] }, ['db1.test']],
    ['a number, or the text of it', { facts: ['rack=7'] }, ['db1.test', 'web1.test']],
    ['true', { facts: ['virtual=true'] }, ['web1.test']],
    ['a pattern of a fact', { facts: ['release=~/V1/'] }, ['web1.test']],
    ['numbers compared', { facts: ['cpus>=16'] }, ['db1.test']],
    ['several together', { facts: ['cpus<16'], classes: ['role::web'], agents: ['choria_util'] }, ['web1.test']],
    ['a value that tries to end its string', { classes: ['a"} or nodes{certname ~ "."'] }, []],
  ])('%s', async (_what, asked, names) => {
    expect(await find(asked)).toEqual(names);
  });

  test('names alone are not looked up', async () => {
    expect(await find({ identities: ['other.test'], agents: ['rpcutil'] })).toEqual(['other.test']);
  });

  test('a query that makes no sense is told with what PuppetDB says', async () => {
    await expect(find({ identities: ['pql: nonsense['] })).rejects.toThrow(
      /PuppetDB at 127.0.0.1:\d+ answered 400: PQL parse error/,
    );
  });

  test('a server that is not there is named', async () => {
    const port = await freePort();
    const other = await start(port);
    await expect(namesOf(other, 'puppetdb')).rejects.toThrow(`PuppetDB at 127.0.0.1:${port} can not be asked`);
    await other.stop();
  });

  test('a server that does not answer in time', async () => {
    await expect(namesOf(host, 'puppetdb', { timeoutMs: 1 })).rejects.toThrow('did not answer within 0.001 s');
  });
});
