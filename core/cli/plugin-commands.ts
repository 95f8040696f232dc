// `muster plugin …`: make, test and call bundles, and look into a running host through its control socket.

import { join } from 'node:path';
import type { Command } from 'commander';
import { examples } from './examples.ts';
import type { RecordFlags, ReplayFlags } from './plugin-record.ts';

interface HostFlags {
  readonly state?: string;
  readonly config?: string;
  readonly json?: boolean;
}

export function addPluginCommands(program: Command, root: string): void {
  const plugin = program
    .command('plugin')
    .summary('Make, test, call and inspect plugins')
    .description('Makes, tests, calls and inspects plugins.')
    .addHelpText('after', `\nWhat each error message means: ${join(root, 'core/sdk/troubleshooting.md')}`);
  addNew(plugin, root);
  addTest(plugin);
  addCall(plugin, root);
  addList(plugin, root);
  addTrace(plugin, root);
  addReload(plugin, root);
  addWhy(plugin, root);
  addAttach(plugin, root);
  addRecord(plugin, root);
  addReplay(plugin);
}

function addNew(plugin: Command, root: string): void {
  plugin
    .command('new <kind> <name>')
    .summary('Write a bundle that works at once')
    .description(
      'Writes a bundle with one plugin into a new folder: manifest, code, and what its kind needs. It works at once; in Go and Rust, as soon as it is built.',
    )
    .requiredOption('--lang <language>', 'ts, python, go, rust, ruby or shell')
    .option('--into <folder>', 'folder to make the bundle in', '.')
    .addHelpText(
      'after',
      examples(['muster plugin new agent greeter --lang python', 'muster plugin new auditor syslog --lang ts --into ~/bundles']),
    )
    .action(async (kind: string, name: string, { lang, into }: { lang: string; into: string }) => {
      const { newBundle } = await import('./plugin-new.ts');
      newBundle({ root, kind, name, language: lang, into });
    });
}

function addTest(plugin: Command): void {
  plugin
    .command('test <bundle>')
    .summary('Run the conformance kit on a bundle')
    .description('Runs every plugin of a bundle through the checks of the plugin protocol. Exits with 1 if one fails.')
    .option('--plugin <name>', 'only this plugin of the bundle')
    .option('--check <name>', 'only this check')
    .option('-j, --json', 'print the outcomes as JSON')
    .addHelpText('after', examples(['muster plugin test ./greeter', 'muster plugin test ./greeter --json']))
    .action(async (bundle: string, options: { plugin?: string; check?: string; json?: boolean }) => {
      const { testBundle } = await import('./plugin-test.ts');
      await testBundle(bundle, options);
    });
}

function addCall(plugin: Command, root: string): void {
  hostFlags(plugin.command('call <plugin> <method> [params]'))
    .summary('Call a method of a plugin')
    .description('Calls one method: of a bundle folder, run for this call alone, or of a plugin (kind/name) in a running host.')
    .option('--plugin <name>', 'which plugin, if the bundle folder has several')
    .option('--timeout <seconds>', 'time for the call', '60')
    .option('--set <key=value...>', 'configuration values for a bundle folder')
    .addHelpText(
      'after',
      examples([
        `muster plugin call fixtures/bundles/echo-python echo/echo '{"text":"hi"}'`,
        'muster plugin call echo/echo_python echo/echo --state /var/lib/muster',
      ]),
    )
    .action(
      async (
        target: string,
        method: string,
        params: string | undefined,
        flags: HostFlags & { plugin?: string; timeout: string; set?: string[] },
      ) => {
        const { callPlugin } = await import('./plugin-call.ts');
        await callPlugin({ root, target, method, params: params ?? '{}', ...flags });
      },
    );
}

function addList(plugin: Command, root: string): void {
  hostFlags(plugin.command('list'))
    .summary('List the plugins of a running host')
    .description('Lists the plugins of a running host: state, runner, process, calls, errors, restarts, latency.')
    .addHelpText(
      'after',
      examples(['muster plugin list --config /etc/muster/server.conf', 'muster plugin list --state /var/lib/muster --json']),
    )
    .action(async (flags: HostFlags) => (await import('./plugin-inspect.ts')).listPlugins(root, flags));
}

function addTrace(plugin: Command, root: string): void {
  hostFlags(plugin.command('trace [plugin]'))
    .summary('Follow the calls of a running host')
    .description('Follows the calls of a running host, or of one plugin of it, until interrupted.')
    .option('--details', 'show what was said as well, secrets masked, and what plugins ask the host')
    .addHelpText(
      'after',
      examples([
        'muster plugin trace --state /var/lib/muster',
        'muster plugin trace agent/greeter --state /var/lib/muster --json',
      ]),
    )
    .action(async (name: string | undefined, flags: HostFlags & { details?: boolean }) =>
      (await import('./plugin-inspect.ts')).tracePlugins(root, name, flags),
    );
}

function addReload(plugin: Command, root: string): void {
  hostFlags(plugin.command('reload <bundle>'))
    .summary('Load a bundle again')
    .description(
      'Loads a bundle of a running host again and lifts the quarantine of its plugins. The present version stays if the new one does not start.',
    )
    .addHelpText('after', examples(['muster plugin reload greeter --state /var/lib/muster']))
    .action(async (bundle: string, flags: HostFlags) => (await import('./plugin-inspect.ts')).reloadBundle(root, bundle, flags));
}

function addWhy(plugin: Command, root: string): void {
  hostFlags(plugin.command('why <name>'))
    .summary('Tell why a plugin or bundle is not active')
    .description('Tells why a plugin or bundle of a running host is not active, and what to do.')
    .addHelpText('after', examples(['muster plugin why greeter --state /var/lib/muster']))
    .action(async (name: string, flags: HostFlags) => (await import('./plugin-inspect.ts')).whyNot(root, name, flags));
}

function addAttach(plugin: Command, root: string): void {
  hostFlags(plugin.command('attach <plugin> [command...]'))
    .summary('Run a plugin of a running host under your own debugger')
    .description(
      'Without a command, prints what to paste to run the plugin under a debugger. With one, after `--`, runs that as the plugin: the host sends it every call until it ends.',
    )
    .addHelpText(
      'after',
      examples([
        'muster plugin attach agent/greeter --state /var/lib/muster',
        'muster plugin attach agent/greeter --state /var/lib/muster -- python3 -m debugpy --listen 5678 --wait-for-client ./greeter.py',
      ]),
    )
    .action(async (name: string, command: string[], flags: HostFlags) =>
      (await import('./plugin-attach.ts')).attachPlugin(root, name, command, flags),
    );
}

function addRecord(plugin: Command, root: string): void {
  plugin
    .command('record <plugin>')
    .summary('Keep a conversation with a plugin')
    .description(
      'Writes what passes between a running host and one of its plugins to a file, secrets masked, until interrupted. `plugin replay` plays it back as a test.',
    )
    .option('-c, --config <file>', 'configuration file of the running host, to find its state folder')
    .option('--state <folder>', 'state folder of the running host')
    .option('-o, --output <file>', 'file to write (default: <kind>.<name>.recording.jsonl)')
    .option('--count <calls>', 'end after so many calls')
    .option(
      '--ignore <place...>',
      'places in answers that differ from time to time, such as result.data.time or result.data.*.pid',
    )
    .option('--force', 'replace the file if it is there')
    .addHelpText(
      'after',
      examples([
        'muster plugin record agent/greeter --state /var/lib/muster',
        'muster plugin record greeter -c node.conf --count 3 -o hello.jsonl',
      ]),
    )
    .action(async (name: string, flags: RecordFlags) => (await import('./plugin-record.ts')).recordPlugin(root, name, flags));
}

function addReplay(plugin: Command): void {
  plugin
    .command('replay <bundle> <recording>')
    .summary('Play a conversation back as a test')
    .description(
      'Runs a plugin of a bundle folder, asks it what a recording holds, answers what it asks from the recording, and compares. Exits with 1 if an answer differs.',
    )
    .option('--ignore <place...>', 'further places in answers that may differ')
    .option('-j, --json', 'print the outcomes as JSON')
    .addHelpText(
      'after',
      examples([
        'muster plugin replay ./greeter hello.jsonl',
        'muster plugin replay ./greeter hello.jsonl --ignore result.data.time',
      ]),
    )
    .action(async (bundle: string, file: string, flags: ReplayFlags) =>
      (await import('./plugin-record.ts')).replayRecording(bundle, file, flags),
    );
}

function hostFlags(command: Command): Command {
  return command
    .option('-c, --config <file>', 'configuration file of the running host, to find its state folder')
    .option('--state <folder>', 'state folder of the running host')
    .option('-j, --json', 'print JSON');
}
