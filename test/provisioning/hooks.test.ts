// The kind `provisioning-hook`: its contract, and helpers of Choria that know nothing of it.

import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { temporaryFolder, writeBundle } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';
import { needs, root } from '../support/languages.ts';
import { asking, ecKeys, provision } from '../support/provisioning.ts';

const { path: work, remove } = temporaryFolder();
const request = asking({ identity: 'n1.example.net', keys: ecKeys() });
const hosts: TestHost[] = [];

beforeAll(() => needs('ruby'));
afterEach(async () => {
  for (const host of hosts.splice(0)) await host.stop();
});
afterAll(remove);

/** In the manner of the samples: what is wrong becomes a deferral, the inventory is JSON within JSON. */
const ruby = `#!/usr/bin/env ruby
require "json"

def helper(input)
  inventory = JSON.parse(input["inventory"])
  {
    "defer" => input["csr"].nil?,
    "msg" => "version #{inventory["version"]}, site #{ENV["SITE"] || "unknown"}",
    "certificate" => "",
    "key" => nil,
    "configuration" => {"identity" => input["identity"], "plugin.choria.server.provision" => "false"},
  }
rescue StandardError => e
  {"defer" => true, "msg" => "#{e.class}: #{e}"}
end

puts JSON.generate(helper(JSON.parse(STDIN.read)))
`;
const answered = {
  defer: false,
  certificate: '',
  key: null,
  configuration: { identity: 'n1.example.net', 'plugin.choria.server.provision': 'false' },
};

function program(name: string, text: string): string {
  const file = join(work, name);
  writeFileSync(file, text);
  chmodSync(file, 0o755);
  return file;
}

async function hostOf(options: Parameters<typeof startHost>[0]): Promise<TestHost> {
  const host = await startHost(options);
  hosts.push(host);
  return host;
}

const revocation = { serial: 'AB12', reason: 'superseded' };

describe('the contract', () => {
  const read = (path: string) => JSON.parse(readFileSync(join(root, path), 'utf8')) as Record<string, unknown>;
  const { methods } = read('ddl/contracts/provisioning-hook.json') as { methods: Record<string, Record<string, unknown>> };

  const schemaOf = (name: string) => {
    const { title: _title, description: _description, ...schema } = read(`ddl/schemas/muster/provisioning/v1/${name}.json`);
    return schema;
  };

  test.each([
    ['request', 'hook/provision'],
    ['revocation', 'hook/revoke'],
  ])('says of a %s what the schema of that name says', (name, method) => {
    expect(methods[method]?.params).toEqual(schemaOf(name));
  });

  test('says of a reply what the schema says, and lets null be what is absent, as the decoder of the original does', () => {
    const withoutNull = (_key: string, value: unknown) =>
      Array.isArray(value) && value.length === 2 && value[1] === 'null' ? value[0] : value;
    const plain = (schema: unknown) => JSON.parse(JSON.stringify(schema, withoutNull)) as unknown;
    const { result } = methods['hook/provision'] as { result: { properties: Record<string, { type: unknown }> } };
    expect(plain(result)).toEqual(plain(schemaOf('reply')));
    for (const { type } of Object.values(result.properties)) expect(type).toContain('null');
  });

  test('gives a hook the time that Choria gives a helper', () => {
    expect(methods['hook/provision']?.deadlineMs).toBe(10_000);
  });
});

describe('a helper of Choria, unchanged', () => {
  test('runs as a oneshot', async () => {
    const manifest = `bundle: mine
version: 1.0.0
plugins:
  - { kind: provisioning-hook, name: mine, runner: oneshot, command: [./helper.rb], needs: { env: [SITE] } }
`;
    const folder = writeBundle(work, 'bundles/mine', manifest, { 'helper.rb': ruby });
    const host = await hostOf({ bundles: [join(folder, '..')] });
    expect(await provision(host, 'mine', request)).toEqual({ ...answered, msg: 'version 0.29.4, site unknown' });
    expect(await provision(host, 'mine', { ...request, csr: null })).toMatchObject({ defer: true });
    // It answers as to any other input, which is no answer to this question.
    const revoked = host.host.call('provisioning-hook', 'mine', 'hook/revoke', revocation);
    await expect(revoked).rejects.toMatchObject({ code: 'CONTRACT' });
  });

  test('runs by its command line, with what is named of the environment, and is not asked what it does not know', async () => {
    const file = program('helper.rb', ruby);
    const config = {
      'plugin.muster.provisioning.helper': `ruby '${file}'`,
      'plugin.muster.provisioning.helper_environment': 'SITE',
    };
    process.env.SITE = 'mla';
    try {
      const host = await hostOf({ distribution: true, config });
      const apart = await hostOf({ distribution: true, config, inlineAs: 'persistent' });
      const { key: _absent, ...given } = answered;
      const expected = { ...given, msg: 'version 0.29.4, site mla' };
      expect(await provision(host, 'helper', request)).toEqual(expected);
      // As a process of its own it has no more of the environment than others have.
      expect(await provision(apart, 'helper', request)).toEqual({ ...expected, msg: 'version 0.29.4, site unknown' });
      const revoked = host.host.call('provisioning-hook', 'helper', 'hook/revoke', revocation);
      await expect(revoked).rejects.toMatchObject({ code: 'UNKNOWN_METHOD' });
    } finally {
      delete process.env.SITE;
    }
  });

  test('is logged with what it says on stderr, which the original throws away', async () => {
    const file = program(
      'chatty.sh',
      '#!/bin/sh\ncat > /dev/null\necho "asking the registry" >&2\necho \'{"Shutdown":true,"Msg":"retired"}\'\n',
    );
    const host = await hostOf({ distribution: true, config: { 'plugin.muster.provisioning.helper': file } });
    expect(await provision(host, 'helper', request)).toEqual({ shutdown: true, msg: 'retired' });
    expect(host.log.map(({ message }) => message)).toContain('asking the registry');
  });

  test.each([
    ['prints nothing', 'exit 0', 'it printed nothing on stdout'],
    ['prints half a document', 'printf \'{"defer":\'', 'not one JSON object'],
    ['prints a number for a setting', 'echo \'{"configuration":{"a":1}}\'', 'configuration.a must be string'],
    ['exits with 3', 'echo "no quota" >&2; exit 3', 'it exited with 3: no quota'],
  ])('that %s is refused with the reason', async (what, text, message) => {
    const file = program(`${what.replaceAll(' ', '-')}.sh`, `#!/bin/sh\n${text}\n`);
    const host = await hostOf({ distribution: true, config: { 'plugin.muster.provisioning.helper': file } });
    await expect(provision(host, 'helper', request)).rejects.toThrow(message);
  });

  test('that is not configured, or not there, is named', async () => {
    const none = await hostOf({ distribution: true });
    await expect(provision(none, 'helper', request)).rejects.toThrow('plugin.muster.provisioning.helper is not set');
    const absent = await hostOf({
      distribution: true,
      config: { 'plugin.muster.provisioning.helper': '/no/such/helper --fast' },
    });
    await expect(provision(absent, 'helper', request)).rejects.toThrow('/no/such/helper does not exist');
  });
});

test('a oneshot that prints too much, or bytes that are no text, is refused by its host', async () => {
  const bundle = (name: string, command: string) => `bundle: ${name}
version: 1.0.0
plugins:
  - { kind: provisioning-hook, name: ${name}, runner: oneshot, command: [sh, -c, ${JSON.stringify(command)}] }
`;
  writeBundle(work, 'bad/huge', bundle('huge', 'head -c 100000000 /dev/zero'));
  writeBundle(work, 'bad/bytes', bundle('bytes', "printf '\\377\\376'"));
  const host = await hostOf({ bundles: [join(work, 'bad')] });
  await expect(provision(host, 'huge', request)).rejects.toMatchObject({ code: 'TOO_LARGE' });
  await expect(provision(host, 'bytes', request)).rejects.toMatchObject({ code: 'CONTRACT' });
});
