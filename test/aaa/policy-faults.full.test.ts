// Policies that are bad, compilers that are, caches that were damaged: each is a denial with its reason, and the next request
// is decided as ever.

import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { moduleOf, type PolicyRecord, readRecord } from '../../plugins/policies/record.ts';
import { sourceKey } from '../../plugins/wire/rego/policy-use.ts';
import { temporaryFolder, until, writeBundle } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';
import { Engines } from '../support/policy-engines.ts';
import { goProgram } from '../support/provisioning.ts';

interface Decision {
  readonly allowed: boolean;
  readonly reason: string;
}

const good = policyOf('allow if input.agent == "webstack"');
const root = fileURLToPath(new URL('../..', import.meta.url));

function policyOf(rules: string): string {
  return `package io.choria.aaasvc\nimport rego.v1\n${rules}\n`;
}

/** A hundred million comparisons that come to nothing. @param wanted makes it another policy */
function loop(wanted: string): string {
  return `allow if {
	input.claims.words[_] == input.claims.words[_]
	input.claims.words[_] == input.claims.words[_]
	input.claims.words[_] == input.claims.words[_]
	input.claims.words[_] == input.claims.words[_]
	input.claims.words[_] == "${wanted}"
}`;
}

const words = Array.from({ length: 60 }, (_, index) => `word ${index}`);

async function ask(host: TestHost, policy: string, request: object = {}): Promise<Decision> {
  const asked = {
    agent: 'webstack',
    action: 'rollout',
    caller: 'up=anna',
    data: {},
    claims: { opa_policy: policy, words },
    ...request,
  };
  const { decisions } = (await host.host.call('authorizer', 'opa', 'authorizer/authorize', { requests: [asked] })) as {
    decisions: Decision[];
  };
  return decisions[0] as Decision;
}

const start = (config: object, bundles: readonly string[] = []) =>
  startHost({ distribution: true, bundles, config: { 'plugin.muster.policies.shared': false, ...config } });

describe('a policy that', () => {
  const { path: folder, remove } = temporaryFolder();
  let host: TestHost;
  beforeAll(async () => {
    writeBundle(
      folder,
      'looker',
      `bundle: looker
version: 1.0.0
plugins:
  - { kind: looker, name: looker, runner: inline, module: ./looker.mjs, needs: { metrics: true } }
`,
      {
        'looker.mjs': `export default { kind: 'looker', version: '1', create: (host) => ({ methods: {
          'looker/numbers': async () => ({ metrics: await host.metrics.list() }),
        } }) };`,
      },
    );
    host = await start({ 'plugin.muster.opa': await goProgram('opa') }, [folder]);
    expect(await ask(host, good)).toMatchObject({ allowed: true });
  }, 240_000);
  afterAll(async () => {
    await host.stop();
    remove();
  });

  test.each<[string, string, RegExp]>([
    ['runs for ever', loop('w'), /took longer than 50 ms/],
    ['makes a large range', 'allow if count(numbers.range(1, 3000000)) == 1', /more memory than|longer than 50 ms/],
    ['pads by a million', 'allow if count(sprintf("%999999d", [1])) == 1', /sprintf made/],
    ['has a range from the host', 'allow if count(numbers.range_step(1, 100000000, 1)) == 1', /more memory than/],
    [
      'says two things',
      'allow := true if input.agent == "webstack"\nallow := false if input.action == "rollout"',
      /contradicts itself/,
    ],
    ['says a word', 'allow := "yes"', /answers with a string where it should say true or false/],
    ['says an object', 'allow := {"ok": true}', /answers with an object/],
    ['says a great deal', 'allow := numbers.range(1, 4000)', /answers with an array or a set/],
    ['says a set', 'allow contains "yes"', /answers with an array or a set/],
    ['says nothing', 'allow if input.agent == "database"', /says nothing about this request/],
    ['calls what is not there', 'allow if requires_magic("x")', /undefined function requires_magic/],
    [
      'asks the network',
      'allow if http.send({"method": "get", "url": "http://127.0.0.1:1"}).status_code == 200',
      /undefined function http.send/,
    ],
    [
      'calls with a wrong type',
      'allow if requires_class_filter(12)',
      /can not be compiled: .*requires_class_filter: invalid argument/s,
    ],
    ['reads the environment', 'allow if opa.runtime().env.PATH', /undefined function opa.runtime/],
    ['can not be read', 'allow if {', /can not be compiled: line \d+: rego_parse_error/],
    ['calls itself', 'allow if not allow', /rego_recursion_error/],
    ['is of another package', 'x := 1', /has no rule allow in the package/],
  ])('%s is denied, and the next is decided', async (_what, rules, reason) => {
    const decision = await ask(host, policyOf(rules));
    expect(decision.allowed).toBe(false);
    expect(decision.reason).toMatch(reason);
    expect(await ask(host, good)).toMatchObject({ allowed: true });
  });

  test('runs for ever rests after three times, while others are decided at once', async () => {
    const looping = policyOf(loop('x'));
    for (let times = 0; times < 3; times += 1) expect((await ask(host, looping)).reason).toMatch(/took longer than 50 ms$/);
    const took: number[] = [];
    for (let times = 0; times < 5; times += 1) {
      const begun = performance.now();
      expect((await ask(host, looping)).reason).toMatch(/3 times; it is tried again in a while/);
      took.push(performance.now() - begun);
    }
    // Evaluated it would take 50 ms each time.
    expect(Math.min(...took)).toBeLessThan(45);
  });

  test('runs for ever among many ends alone', async () => {
    const looping = policyOf(loop('y'));
    const [bad, ...others] = await Promise.all([ask(host, looping), ...Array.from({ length: 200 }, () => ask(host, good))]);
    expect(bad?.reason).toMatch(/took longer/);
    expect(others.filter(({ allowed }) => !allowed)).toEqual([]);
  });

  test.each([
    ['is huge', { huge: 'x'.repeat(600_000) }, /bytes, at most 524288 are evaluated/],
    ['is deep', JSON.parse(`${'{"a":'.repeat(200)}1${'}'.repeat(200)}`) as object, /nested deeper than 64 levels/],
    ['is wide', Object.fromEntries(Array.from({ length: 120_000 }, (_, index) => [`k${index}`, 1])), /more than 100000 values/],
  ])('gets data that %s is not evaluated', async (_what, data, reason) => {
    const decision = await ask(host, good, { data });
    expect(decision).toMatchObject({ allowed: false, reason: expect.stringMatching(reason) });
  });

  test('is too large itself is not compiled', async () => {
    expect((await ask(host, `${good}# ${'x'.repeat(300_000)}\n`)).reason).toMatch(
      /can not be compiled: it has more than 262144 bytes/,
    );
  });

  test('can not be compiled is counted apart from what its compiler does wrong', async () => {
    const { metrics } = (await host.host.call('looker', 'looker', 'looker/numbers', {})) as {
      metrics: { name: string; values: { labels: object; value: number }[] }[];
    };
    const errors = metrics.find(({ name }) => name === 'muster_policy_compile_errors')?.values ?? [];
    const count = (cause: string) => errors.find(({ labels }) => 'cause' in labels && labels.cause === cause)?.value;
    expect(count('policy')).toBeGreaterThan(5);
    expect(count('compiler')).toBe(0);
  });
});

describe('a compiler that', () => {
  const { path: folder, remove } = temporaryFolder();
  let host: TestHost | undefined;
  afterEach(() => host?.stop());
  afterAll(remove);

  const script = (name: string, body: string): string => {
    const path = join(folder, name, 'opa');
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, `#!/bin/sh\nif [ "$1" = version ]; then echo "Version: 9.9.9"; exit 0; fi\n${body}\n`);
    chmodSync(path, 0o755);
    return path;
  };

  test.each<[string, string, RegExp]>([
    ['dies', 'kill -9 $$', /was ended by SIGKILL while it compiled/],
    ['makes nothing', 'exit 0', /has no module of a sensible size/],
    ['makes nonsense', 'echo nonsense > bundle.tar.gz', /has no module of a sensible size/],
    [
      'has no room',
      'echo "error: write bundle.tar.gz: no space left on device" >&2; exit 1',
      /failed: write bundle.*no space left/,
    ],
    ['fails without a word', 'exit 3', /the compiler of policies failed: it does not say why/],
    ['prints megabytes', 'head -c 20000000 /dev/zero | tr "\\0" x >&2; exit 1', /the compiler of policies failed: x{900}/],
  ])('%s is told of, and nothing is allowed', async (name, body, reason) => {
    host = await start({ 'plugin.muster.opa': script(name.replaceAll(' ', '-'), body) });
    const { allowed, reason: told } = await ask(host, good);
    expect(allowed).toBe(false);
    expect(told).toMatch(reason);
    expect(told.length).toBeLessThan(1_500);
  });

  test('hangs is ended with all that it started', async () => {
    const path = script('hangs', `sleep 300 & echo $! > ${join(folder, 'grandchild')}; wait`);
    host = await start({ 'plugin.muster.opa': path });
    expect((await ask(host, good)).reason).toMatch(/took longer than 10 s and was ended/);
    const pid = Number(readFileSync(join(folder, 'grandchild'), 'utf8'));
    await until('the grandchild is gone', () => !existsSync(`/proc/${pid}`));
  });

  test('is another program is not taken for one', async () => {
    host = await start({ 'plugin.muster.opa': '/bin/true' });
    expect((await ask(host, good)).reason).toMatch(/does not tell its version as opa does/);
  });

  test('is too old is not used', async () => {
    const path = join(folder, 'old', 'opa');
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, '#!/bin/sh\necho "Version: 0.68.0"\n');
    chmodSync(path, 0o755);
    host = await start({ 'plugin.muster.opa': path });
    expect((await ask(host, good)).reason).toMatch(/is opa 0\.68\.0, and policies are compiled by 1\.0 or later/);
  });

  test('sees no environment and no secret', async () => {
    const path = script('curious', 'env > "$0.env"; exit 1');
    host = await start({ 'plugin.muster.opa': path });
    await ask(host, good);
    expect(readFileSync(`${path}.env`, 'utf8')).not.toMatch(/HOME|NATS|TOKEN|USER/);
  });
});

test.each([
  ['a number', { opa_policy: 42 }],
  ['an object', { opa_policy: { toString: 'package io.choria.aaasvc' } }],
  ['an array', { opa_policy: [good] }],
  ['null', { opa_policy: null }],
  ['blanks', { opa_policy: ' \n\t' }],
  ['bytes of all kinds', { opa_policy: Buffer.from(Array.from({ length: 256 }, (_, index) => index)).toString('latin1') }],
  ['half a character', { opa_policy: `${good}# \ud800` }],
  ['a name of an option', { opa_policy: '--help' }],
  ['a shebang and a NUL', { opa_policy: '#!/bin/sh\ntouch /tmp/owned\n\0' }],
])('a claim that is %s allows nothing', async (_what, claims) => {
  const host = await start({ 'plugin.muster.opa': await goProgram('opa') });
  try {
    expect(await ask(host, good, { claims })).toMatchObject({ allowed: false });
    expect(existsSync('/tmp/owned')).toBe(false);
  } finally {
    await host.stop();
  }
});

describe('what was compiled before', () => {
  const { path: folder, remove } = temporaryFolder();
  const engines: Engines[] = [];
  afterAll(async () => {
    for (const one of engines) await one.close();
    remove();
  });

  test('is read from a folder where there is no compiler; what was damaged or tampered with is not', async () => {
    const opa = await goProgram('opa');
    const made = await start({ 'plugin.muster.opa': opa });
    const file = join(folder, `${sourceKey(good, 'token')}.json`);
    const deny = policyOf('allow := false');
    try {
      const { record } = (await made.host.call('policy-compiler', 'opa', 'policy/record', { policy: good, use: 'token' })) as {
        record: string;
      };
      const { record: other } = (await made.host.call('policy-compiler', 'opa', 'policy/record', {
        policy: deny,
        use: 'token',
      })) as {
        record: string;
      };
      const parsed = JSON.parse(record) as PolicyRecord & { result: { ok: true } };
      const foreign = JSON.parse(other) as PolicyRecord & { result: { ok: true } };
      const changed = (result: object) => JSON.stringify({ ...parsed, result: { ...parsed.result, ...result } });
      const cases: readonly (readonly [string, RegExp | undefined])[] = [
        [record, undefined],
        [record.slice(0, -100), /it is no JSON/],
        [changed({ module: foreign.result.module }), /the hashes differ/],
        [changed({ module: 'AAAA' }), /its module is damaged/],
        [changed({ key: 'f'.repeat(64) }), /its key is not that of this policy/],
        [other, /it is about another policy/],
        ['[]', /it must be object/],
        [JSON.stringify({ ...parsed, more: 1 }), /must NOT have additional properties/],
        ['x'.repeat(3_000_000), /too large/],
      ];
      for (const [text, problem] of cases) {
        writeFileSync(file, text);
        const host = await start({ 'plugin.muster.opa': 'no-such-program', 'plugin.muster.policies.prepared': folder });
        try {
          const { allowed, reason } = await ask(host, good);
          expect(allowed, reason).toBe(problem === undefined);
          if (problem === undefined) continue;
          expect(reason).toMatch(/nobody has compiled this policy/);
          const told = host.log.find(({ message }) => message.includes('is not used as a compiled policy'));
          expect(told?.message).toMatch(problem);
        } finally {
          await host.stop();
        }
      }
    } finally {
      await made.stop();
    }
  });

  test('what comes with the bundle is byte for byte what opa makes of its source', async () => {
    const one = new Engines(await goProgram('opa'));
    engines.push(one);
    const policy = readFileSync(join(root, 'fixtures/policies/on-call.rego'), 'utf8');
    const prepared = join(root, 'plugins/policies/prepared');
    expect(readdirSync(prepared)).toEqual([`${sourceKey(policy, 'token')}.json`]);
    const record = readRecord(readFileSync(join(prepared, `${sourceKey(policy, 'token')}.json`), 'utf8'), {
      policy,
      use: 'token',
    });
    if (!record.result.ok) throw new Error(record.result.reason);
    expect(record.result.dialect).toBe('v0');
    const made = one.compile(policy, 'token', ['--v0-compatible']);
    expect(Buffer.compare(moduleOf(record.result), Buffer.from(made))).toBe(0);
    expect(record.explainer?.module).toBeDefined();
  });

  test('is kept in the state folder for nobody else to read, failures too', async () => {
    const host = await start({ 'plugin.muster.opa': await goProgram('opa') });
    try {
      await ask(host, good);
      await ask(host, policyOf('allow if requires_magic("x")'));
      const kept = join(host.folder, 'plugins/policies.opa/compiled');
      const found = existsSync(kept)
        ? kept
        : readdirSync(host.folder, { recursive: true })
            .map(String)
            .find((name) => name.endsWith('/compiled'));
      const place = found === kept ? kept : join(host.folder, found ?? '');
      const names = readdirSync(place);
      expect(names).toContain(`${sourceKey(good, 'token')}.json`);
      expect(names).toHaveLength(2);
      for (const name of names) expect(statSync(join(place, name)).mode & 0o077).toBe(0);
    } finally {
      await host.stop();
    }
  });
});
