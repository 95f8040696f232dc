// Sources of nodes on the command line: flags, pipes, a source of one's own in Python.

import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { distributionRoot } from '../../core/host/distribution.ts';
import { discover } from '../../plugins/fleet-client/discovery.ts';
import { buildFilter } from '../../plugins/wire/filter.ts';
import { patience } from '../support/discovery.ts';
import { Fleet } from '../support/fleet.ts';
import { writeBundle } from '../support/folders.ts';

const main = join(distributionRoot(), 'core/cli/main.js');
let fleet: Fleet;
let config: string;

/** Runs a line of a shell, in which `muster` is the command with the client's configuration. */
function shell(line: string): Promise<{ code: number; out: string; err: string }> {
  const script = `muster() { "${process.execPath}" "${main}" "$@" --config "${config}"; }\n${line}`;
  return new Promise((resolve) => {
    execFile('sh', ['-c', script], { cwd: fleet.folder }, (error, out, err) => {
      resolve({ code: error ? Number(error.code) : 0, out, err });
    });
  });
}

beforeAll(async () => {
  fleet = await Fleet.start();
  await Promise.all([
    fleet.node('web.test', { classes: ['web'], facts: { cores: 8 } }),
    fleet.node('db.test', { classes: ['db'], facts: { cores: 2 } }),
  ]);
  const bundles = join(fleet.folder, 'bundles');
  mkdirSync(bundles);
  writeBundle(
    bundles,
    'cmdb',
    'bundle: cmdb\nversion: 1.0.0\nplugins:\n  - { kind: discovery, name: cmdb, runner: persistent, command: [python3, ./cmdb.py] }\n',
    {
      'cmdb.py': `from muster_plugin import Plugin, PluginError
plugin = Plugin(version="1.0.0")

@plugin.method("discovery/discover")
def discover(params, call):
    if params["filter"]["fact"]:
        raise PluginError("INVALID_PARAMS", "cmdb knows no facts; leave -F out")
    names = {"oslo": ["web.test"], "bergen": ["db.test", "gone.test"]}[params["options"].get("site", "oslo")]
    return {"nodes": [{"identity": name, "state": "present", "seen": 0} for name in names], "notes": ["the cmdb is of yesterday"]}

plugin.run()
`,
    },
  );
  config = join(fleet.folder, 'client.conf');
  const values = {
    ...(await fleet.certificate('operator.mcollective')),
    identity: 'operator.mcollective',
    ...patience,
    'plugin.choria.middleware_hosts': `127.0.0.1:${fleet.port}`,
  };
  writeFileSync(
    config,
    Object.entries(values)
      .map(([key, value]) => `${key} = ${value}\n`)
      .join(''),
  );
});
afterAll(() => fleet.stop());

describe('nodes that were piped in', () => {
  test('are those that answered the request before', async () => {
    const { code, out } = await shell('muster req rpcutil get_fact fact=cores -C web --json | muster req rpcutil ping --senders');
    expect({ code, out }).toEqual({ code: 0, out: 'web.test\n' });
  });

  test('may come as a list of names', async () => {
    expect((await shell(`muster find -C db --json | muster find`)).out).toBe('db.test\n');
  });

  test('are told apart from other text, which would otherwise mean everybody', async () => {
    const { code, out, err } = await shell('echo web.test | muster find');
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toContain('what was piped in names no nodes');
  });

  test('do not count where a source is named, and nothing means nothing', async () => {
    expect((await shell('echo \'{"replies": []}\' | muster find --dm mc')).out).toBe('db.test\nweb.test\n');
    expect((await shell('muster find </dev/null')).out).toBe('db.test\nweb.test\n');
    expect((await shell('printf "" | muster find')).out).toBe('db.test\nweb.test\n');
  });

  test('can not be filtered by what a list of names does not tell', async () => {
    const { code, err } = await shell('muster find --json | muster find -C web');
    expect(code).toBe(1);
    expect(err).toContain('flatfile can not honour -C');
  });
});

describe('a source of one’s own', () => {
  test('is used by its name, with its options', async () => {
    const { code, out, err } = await shell('muster find --dm cmdb --do site=bergen');
    expect({ code, out }).toEqual({ code: 0, out: 'db.test\ngone.test\n' });
    expect(err).toBe('warning: the cmdb is of yesterday\n');
  });

  test('shows what it knows of nodes', async () => {
    const { out, err } = await shell('muster find --dm cmdb -v');
    expect(out).toMatch(/^Node +State +Last heard of *\nweb\.test +present +\d+h\d+m\d+s ago *\n$/);
    expect(err).toContain('using the cmdb method');
    const listed = JSON.parse((await shell('muster find --dm cmdb -v --json')).out);
    expect(listed).toEqual([{ identity: 'web.test', state: 'present', seen: '1970-01-01T00:00:00.000Z' }]);
  });

  test('serves requests, which are sent to the nodes it names', async () => {
    const { out } = await shell('muster req rpcutil ping --dm cmdb --do site:bergen --json --timeout 5');
    const { replies, request_stats: statistics } = JSON.parse(out);
    expect(replies.map(({ sender }: { sender: string }) => sender)).toEqual(['db.test']);
    expect(statistics.no_responses).toEqual(['gone.test']);
  });

  test('refuses in its own words', async () => {
    const { code, err } = await shell('muster find --dm cmdb -F a=b');
    expect(code).toBe(1);
    expect(err).toContain('cmdb knows no facts; leave -F out');
  });

  test('may be the one that the configuration names', async () => {
    const { out } = await shell(
      `{ cat "${config}"; echo default_discovery_method = cmdb; echo default_discovery_options = site=bergen; } > own.conf
       "${process.execPath}" "${main}" find --config own.conf`,
    );
    expect(out).toBe('db.test\ngone.test\n');
  });
});

test('a source that is not there is named with those that are', async () => {
  const { code, err } = await shell('muster find --dm nosuch');
  expect(code).toBe(1);
  expect(err).toContain(
    "there is no discovery method 'nosuch'; there are broadcast, cmdb, external, flatfile, inventory, puppetdb",
  );
});

test('names of groups and queries are no names of nodes', async () => {
  expect((await shell('muster find -I group:web')).err).toContain('-I group:web is no name of a node; it needs --dm inventory');
});

test('a source that can be told no expression makes way for the broadcast, with a warning', async () => {
  const { out, err } = await shell(`muster find --dm external -S 'fact("cores") > 4'`);
  expect(out).toBe('web.test\n');
  expect(err).toContain('warning: external can not evaluate the expression of -S, so the nodes are found by broadcast');
});

test('a program finds nodes the same way', async () => {
  const { fleet: client } = await fleet.client();
  const file = join(fleet.folder, 'fleet.json');
  writeFileSync(file, '["web.test"]');
  const found = await discover(client, { filter: buildFilter({}), method: 'flatfile', methodOptions: { file } });
  expect(found).toMatchObject({ nodes: ['web.test'], method: 'flatfile', duplicates: [], notes: [] });
});
