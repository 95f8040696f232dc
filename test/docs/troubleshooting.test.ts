// The page of error messages: its headings are what the sources say, and what the sources say has a heading.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, test } from 'vitest';
import { parseEntries } from '../../core/config/dialect.ts';
import { resolveConfig } from '../../core/config/values.ts';
import { readRecording } from '../../core/conformance/recording.ts';
import { loadBundle } from '../../core/host/bundle.ts';
import { knownKeys } from '../../core/host/settings.ts';
import { checkInput } from '../../plugins/wire/ddl-input.ts';
import { echoPlugin } from '../support/echo.ts';
import { temporaryFolder, until, writeBundle } from '../support/folders.ts';
import { startHost, type TestHost } from '../support/hosts.ts';
import { callsOf, messagesOf, type Place, type SourceMessage, wordsOf } from '../support/source-messages.ts';

const root = fileURLToPath(new URL('../..', import.meta.url)).replace(/\/$/, '');
const page = readFileSync(join(root, 'core/sdk/troubleshooting.md'), 'utf8');
const headings = [...page.matchAll(/^### (`+) ?(.+?) ?\1$/gm)].map(([, , message = '']) => message);

/** Of a folder all files, or those that say something to an author or an operator. */
const folders: readonly (readonly [folder: string, files: RegExp])[] = [
  ['core/host', /./],
  ['core/protocol', /./],
  ['core/capabilities', /./],
  ['core/config', /./],
  ['core/conformance', /^(recording|replay)/],
  ['core/cli', /^(plugin-|run|control-client)/],
  ['core/sdk/typescript', /^(agent|serve)/],
  ['plugins/wire', /^ddl/],
  ['plugins/fleet-server', /./],
  ['plugins/fleet-server/provisioning', /./],
  ['plugins/provisioning-agent', /./],
  ['plugins/security-provisioning', /./],
  ['plugins/tokens', /./],
  ['plugins/choria-agents', /./],
  ['plugins/wire/provisioning', /./],
  ['plugins/wire/tokens', /./],
  ['plugins/policies', /./],
  ['plugins/aaa', /./],
  ['plugins/aaa/login', /./],
  ['plugins/aaa/sign', /./],
  ['plugins/aaa-client/login', /./],
  ['plugins/aaa-client/signer', /./],
  ['plugins/audit', /./],
  ['plugins/authenticators', /./],
  ['plugins/authenticators/certificate', /./],
  ['plugins/authenticators/commands', /./],
  ['plugins/authenticators/ldap', /./],
  ['plugins/authenticators/oidc', /./],
  ['plugins/authenticators/userlist', /./],
  ['plugins/authorization', /./],
  ['plugins/provisioner', /./],
  ['plugins/provisioning/check-ca', /^(index|target)/],
  ['provisioning-hooks/built-in-ca', /./],
  ['provisioning-hooks/cfssl', /./],
  ['provisioning-hooks/helper', /./],
  ['provisioning-hooks/placement', /./],
  ['provisioning-hooks/step-ca', /./],
  ['provisioning-hooks/vault', /./],
];
const files = folders.flatMap(([folder, wanted]) =>
  readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.ts') && wanted.test(name))
    .map((name) => `${folder}/${name}`),
);

/** The errors and the log, then the functions and fields of some files in which their messages are made. */
const places: readonly Place[] = [
  { before: 'new PluginError(', argument: 1 },
  { before: 'new BundleError(', argument: 1 },
  { before: 'new DdlError(', argument: 0 },
  { before: 'new RecordingError(', argument: 0 },
  { before: 'new ConfigError([', argument: 0 },
  { before: 'new RunError(', argument: 0 },
  { before: 'log.warn(', argument: 'message of a log' },
  { before: 'log.error(', argument: 'message of a log' },
  { before: 'new Error(', argument: 0, files: /core\/cli\/(plugin-|control)|fleet-server\/index|choria-agents/ },
  { before: 'message: ', argument: 0, files: /host\/manifest/ },
  { before: 'lines.push(', argument: 0, files: /host\/explain/ },
  { before: 'return ', argument: 0, files: /host\/explain|config\/values|wire\/ddl-input/ },
  { before: 'const silent = ', argument: 0, files: /host\/oneshot/ },
  { before: 'problem: ', argument: 0, files: /host\/persistent|config\/values/ },
  { before: 'problems.push(', argument: 0, files: /config\/values/ },
  { before: '#violation(', argument: 0, files: /protocol\/peer/ },
  { before: 'reply(', argument: 1, files: /typescript\/agent/ },
  { before: 'warnings.push(', argument: 0, files: /wire\/ddl\./ },
  { before: 'failed(', argument: 2, files: /fleet-server\/pipeline/ },
  { before: '#tell(', argument: 0, files: /fleet-server\/output-check/ },
  { before: '#onTrouble(', argument: 0, files: /fleet-server\/ledger/ },
  { before: 'failed(', argument: 0, files: /choria-agents\/index/ },
  { before: 'problems.set(', argument: 1, files: /choria-agents\/find/ },
  { before: 'new HookError(', argument: 1 },
  { before: 'new TokenError(', argument: 1 },
  { before: 'chainError(', argument: 0, files: /tokens\/chain/ },
  { before: 'claimsError(', argument: 0, files: /tokens\/provisioning/ },
  { before: 'refused(', argument: 0, files: /provisioning\/policy/ },
  { before: 'new CheckError(', argument: 0 },
  { before: 'new CompilerError(', argument: 1 },
  { before: 'new AaaError(', argument: 1 },
  { before: 'settingsError(', argument: 0, files: /aaa\/login\/settings/ },
  { before: 'new AaaSettingsError([', argument: 0 },
  { before: 'new RevokeError(', argument: 0 },
  { before: 'new Refusal(', argument: 1 },
  { before: 'new LoginError(', argument: 1 },
  { before: 'new AuditError(', argument: 0 },
  { before: 'new DirectoryError(', argument: 0 },
  { before: 'new ProviderError(', argument: 0 },
  { before: 'new IdTokenError(', argument: 0 },
  { before: 'new FetchError(', argument: 0 },
  { before: 'new RecordError(', argument: 0 },
  { before: 'new PolicyCommandError(', argument: 0 },
  { before: 'new ActionError(', argument: 0, files: /provisioning-agent/ },
  { before: 'throw invalid(', argument: 0, files: /provisioning-agent/ },
  { before: 'new Error(', argument: 0, files: /fleet-server\/provisioning/ },
  { before: 'return problem(', argument: 0, files: /fleet-server\/provisioning/ },
  { before: 'refused(', argument: 0, files: /provisioner\/checks/ },
  { before: 'useless(', argument: 0, files: /provisioner\/checks/ },
  { before: 'wrong(', argument: 0, files: /provisioner\/config/ },
  { before: 'new ProvisionerError(', argument: 1 },
];

/** Messages in which one gap is filled with one of a few words of the same file. */
const filled: Readonly<Record<string, { readonly file: string; readonly words: RegExp; readonly full: string }>> = {
  'this line …: …': {
    file: 'core/protocol/peer.ts',
    words: /(?:PARSE|ENCODING|INVALID|TOO_LARGE): '([^']+)'/g,
    full: 'this line *: …',
  },
  '… of …: …': { file: 'core/protocol/contract.ts', words: /check\('(\w+)', /g, full: '* of …: …' },
};

/** What needs no heading, and why. */
const withoutHeading: Readonly<Record<string, string>> = {
  'plugin …': 'what the plugin did follows, and has a heading',
  'the host …': 'what the host did follows, and has a heading',
  'its answer …: …': 'the same is logged as `this line …`',
  '…; correct one of them': 'the end of what the output check says, which has headings',
  '… takes …': 'the end of `input … has not been declared`',
  '… takes no input': 'the end of `input … has not been declared`',
  'exit code: …': 'a fact in the explanation of a failed start',
  'ended by …': 'a fact in the explanation of a failed start',
  'first line on stdout: …': 'a fact in the explanation of a failed start',
  'last lines on stderr: …': 'a fact in the explanation of a failed start',
  'interpreter: …': 'a fact in the explanation of a failed start',
  '…object': 'a comparison, no message',
  '… …; bundle.yaml would need `needs: {…: …}`': 'the frame of all refusals, which have headings',
  'the provisioning token …': 'what is wrong with it follows, and has a heading',
  OK: 'no error',
  interrupted: 'the end that was asked for with Ctrl-C',
  done: 'the end of a command that did its work',
  '… must be a string': 'only programs that speak to the control socket by themselves can cause it',
  'the program … was not attached': 'only a mistake of the host can cause it',
};

const found: readonly SourceMessage[] = files.flatMap((file) => {
  const refused = callsOf(root, file, 'throw notGranted(').map(([, what, need, value]) => ({
    file,
    message: `… ${what?.[0]}; bundle.yaml would need \`needs: {${need?.[0]}: ${value?.[0] ?? 'true'}}\``,
  }));
  return [...messagesOf(root, file, places), ...refused].flatMap((one) => {
    const { file: where, words, full } = filled[one.message] ?? {};
    if (where !== file || !words || !full) return [one];
    return wordsOf(root, file, words).map((word) => ({ file, message: full.replace('*', word) }));
  });
});
const said = new Set(found.map(({ message }) => message));

/** The headings that a reader finds: those whose fixed parts are all in the message, in their order; the one that says most first. */
function headingsFor(message: string): string[] {
  const fits = (heading: string) => {
    let at = 0;
    return heading.split('…').every((part) => {
      const start = message.indexOf(part, at);
      at = start + part.length;
      return start >= 0;
    });
  };
  const fixed = (heading: string) => heading.replaceAll('…', '').length;
  return headings.filter(fits).sort((a, b) => fixed(b) - fixed(a));
}

function headingFor(message: string): string | undefined {
  return headingsFor(message)[0];
}

describe('the page of error messages', () => {
  test('has each heading once', () => {
    expect(headings.filter((heading, index) => headings.indexOf(heading) !== index)).toEqual([]);
    // One that could not be read would not be missed otherwise.
    expect(page.match(/^###/gm)).toHaveLength(headings.length);
  });

  test('has no heading that the sources do not say', () => {
    expect(headings.filter((heading) => !said.has(heading))).toEqual([]);
  });

  test('has a heading for all that the sources say', () => {
    const missing = found.filter(({ message }) => !headings.includes(message) && !Object.hasOwn(withoutHeading, message));
    expect(missing).toEqual([]);
  });

  test('leaves out nothing that is no longer said, or has a heading after all', () => {
    expect(Object.keys(withoutHeading).filter((message) => !said.has(message) || headings.includes(message))).toEqual([]);
  });

  test('says something below each group of headings', () => {
    const lines = page.split('\n').filter((line) => line !== '');
    const silent = lines.filter((line, index) => line.startsWith('### ') && /^(## |$)/.test(lines[index + 1] ?? ''));
    expect(silent).toEqual([]);
  });
});

test.each(['python/muster_plugin.py', 'ruby/muster_plugin.rb', 'go/plugin.go', 'rust/src'])(
  'the SDK in %s says the same as the others',
  (path) => {
    const sources = path.includes('.') ? [path] : readdirSync(join(root, 'core/sdk', path)).map((name) => `${path}/${name}`);
    const text = sources.map((file) => readFileSync(join(root, 'core/sdk', file), 'utf8')).join('');
    for (const part of [
      'the host speaks protocol ',
      'Unknown action ',
      'unknown method ',
      ' bytes, the other side accepts ',
      '; hand it over in a file',
    ]) {
      expect(text).toContain(part);
      expect(headings.some((heading) => heading.includes(part))).toBe(true);
    }
  },
);

describe('a message that was provoked is found on the page', () => {
  const open: { stop(): Promise<void> | void }[] = [];
  afterEach(async () => {
    for (const one of open.splice(0).reverse()) await one.stop();
  });

  function folderOf(): string {
    const { path, remove } = temporaryFolder();
    open.push({ stop: remove });
    return path;
  }

  async function hostWith(write: (folder: string) => void): Promise<TestHost> {
    const folder = folderOf();
    write(folder);
    const host = await startHost({ bundles: [folder] });
    open.push(host);
    return host;
  }

  const call = (host: TestHost, method: string, params: object = {}) =>
    host.host.call('echo', 'echo', method, { ...params }, { deadlineMs: 30_000 });

  async function messageOf(attempt: () => unknown): Promise<string> {
    try {
      await attempt();
    } catch (error) {
      return (error as Error).message;
    }
    throw new Error('nothing was refused');
  }

  const manifest = (plugin: string) => `bundle: echo\nversion: 1.0.0\nplugins:\n  - { kind: echo, name: echo, ${plugin} }\n`;

  test.each([
    ['runer: oneshot, runner: oneshot, command: [sh]', '… is not a known key here'],
    ['runner: oneshot', '… is oneshot and needs `command: [program, argument …]`'],
    ['runner: oneshot, command: [./../x]', "… leaves the bundle's folder"],
    ['runner: oneshot, command: [sh', 'this is not YAML: …'],
    ['runner: oneshot, command: [sh], resources: { ddl: ./ddl.json }', '…: cannot be read: …'],
  ])('of a manifest with %s', async (plugin, heading) => {
    const bundle = writeBundle(folderOf(), 'echo', manifest(plugin));
    const message = await messageOf(() => loadBundle(bundle, { contract: () => undefined }));
    expect(headingFor(message)).toBe(heading);
  });

  test.each([
    ['command: [no-such-program-here]', {}, '… is not on PATH (…); try: install …, or correct `command:` in bundle.yaml'],
    ['command: [./absent]', {}, '… does not exist; try: build it, or correct `command:` in bundle.yaml'],
    [
      'command: [./echo]',
      { echo: '#!/no/such/interpreter\n' },
      'the interpreter … does not exist; try: install it, or correct the first line',
    ],
  ])('of a plugin that does not start: %s', async (command, files, heading) => {
    const host = await hostWith((folder) => writeBundle(folder, 'echo', manifest(`runner: persistent, ${command}`), files));
    expect(headingFor(await messageOf(() => call(host, 'echo/echo')))).toBe(heading);
  });

  test('of a plugin that ends before the handshake', async () => {
    const host = await hostWith((folder) =>
      writeBundle(folder, 'echo', manifest('runner: persistent, command: [sh, ./echo.sh]'), { 'echo.sh': 'exit 7\n' }),
    );
    const found = headingsFor(await messageOf(() => call(host, 'echo/echo')));
    expect(found).toEqual(expect.arrayContaining(['… did not start: …', '… was not answered: …']));
  });

  test('of a oneshot that prints something else, or nothing', async () => {
    const host = await hostWith((folder) =>
      writeBundle(folder, 'echo', manifest('runner: oneshot, command: [sh, ./echo.sh]'), {
        'echo.sh': '[ "$MUSTER_METHOD" = echo/echo ] && echo hello || exit 3\n',
      }),
    );
    expect(headingFor(await messageOf(() => call(host, 'echo/echo', { text: 'x' })))).toBe(
      '… printed no JSON on stdout but: …; a oneshot prints one JSON value and nothing else',
    );
    expect(headingFor(await messageOf(() => call(host, 'echo/version')))).toBe('… exited with … and said nothing on stderr');
  });

  test('of calls that find no way, do not fit, or find no room', async () => {
    const host = await hostWith((folder) => {
      echoPlugin(folder, { limits: '{ concurrency: 1, queue: 0 }' });
      writeBundle(
        folder,
        'x',
        'bundle: x\nversion: 1.0.0\nplugins:\n  - { kind: agent, name: x, runner: oneshot, command: [cat] }\n',
      );
    });
    expect(headingFor(await messageOf(() => host.host.call('agent', 'x', 'agent/invoke', {})))).toBe('params of …: …');
    expect(headingFor(await messageOf(() => host.host.call('echo', 'ecko', 'echo/echo', {})))).toBe(
      'there is no … …; there are …',
    );
    expect(headingFor(await messageOf(() => call(host, 'echo/absent')))).toBe('unknown method …');
    const sleeping = call(host, 'echo/sleep', { ms: 300 });
    expect(headingFor(await messageOf(() => call(host, 'echo/echo', { text: 'x' })))).toBe(
      '… has … calls under way and … waiting; try again in … ms',
    );
    await sleeping;
  });

  test('of what a plugin may not ask, and of what it printed', async () => {
    const host = await hostWith((folder) =>
      echoPlugin(folder, { needs: '{ process: [absent-program] }', prelude: "console.log('hello');" }),
    );
    const ask = async (method: string, params: object) =>
      ((await call(host, 'echo/ask', { method, params })) as { error: { message: string } }).error.message;
    expect(headingFor(await ask('timers/set', { id: 't', afterMs: 1 }))).toBe(
      '… may not use …; bundle.yaml would need `needs: {…: …}`',
    );
    expect(headingFor(await ask('process/start', { id: 'p', command: ['cat'] }))).toBe(
      '… may not start …; bundle.yaml would need `needs: {process: […]}`',
    );
    expect(headingFor(await ask('process/start', { id: 'p', command: ['absent-program'] }))).toBe(
      '… is not on PATH (…); try: install …, or correct `command:` in bundle.yaml',
    );
    expect(headingFor(await ask('plugins/list', { kind: 'agent' }))).toBe(
      '… may not use plugins of kind …; bundle.yaml would need `needs: {plugins: […]}`',
    );
    const logged = await until('the print is logged', () => host.log.find(({ message }) => message.includes('hello')));
    expect(headingFor(logged.message)).toBe('this line is not JSON: …');
  });

  test('of input that does not fit a DDL', async () => {
    const input = { prompt: 'Port', description: 'Port', type: 'integer', optional: false };
    const action = { action: 'open', description: 'Opens', input: { port: input }, output: {} };
    expect(headingFor(await messageOf(() => checkInput(action, {})))).toBe("input '…' is required");
    expect(headingFor(await messageOf(() => checkInput(action, { port: 'x' })))).toBe("validation failed for input '…': …");
  });

  test('of a recording and of a configuration', async () => {
    const folder = folderOf();
    writeFileSync(join(folder, 'r.jsonl'), '{"recording":9}\n');
    expect(headingFor(await messageOf(() => readRecording(join(folder, 'r.jsonl'))))).toBe(
      '…:1: this is no recording of version …; make one with `muster plugin record`',
    );
    const entries = parseEntries('loglevel = loud\n', 'server.conf');
    const problem = await messageOf(() => resolveConfig({ file: 'server.conf', entries }, knownKeys([])));
    expect(headingFor(problem)).toBe('must be one of …');
  });
});
