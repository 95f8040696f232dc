// The `muster` command: its own sub-commands and those of the bundles. Whatever a sub-command needs is loaded when it runs.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { distributionRoot, packageInfo } from '../host/distribution.ts';
import { addBundleCommands, type CommandOfBundle } from './bundle-commands.ts';
import { examples } from './examples.ts';
import { addPluginCommands } from './plugin-commands.ts';
import { fail } from './report.ts';

const root = distributionRoot();

export function createProgram(): Command {
  const { version, description } = packageInfo();
  const program = new Command('muster')
    .description(description)
    .version(version, '-V, --version', 'Print the version')
    .helpOption('-h, --help', 'Show help')
    .helpCommand('help [command]', 'Show help for a command')
    .showSuggestionAfterError()
    .showHelpAfterError('(run it with --help for what there is)')
    .configureHelp({ sortSubcommands: true, showGlobalOptions: false })
    .addHelpText('after', '\nRun `muster <command> --help` for flags and examples.');
  addRun(program);
  addPluginCommands(program, root);
  addConfig(program);
  addCompletion(program);
  addBundleCommands(program, commandsOfBundles());
  return program;
}

function commandsOfBundles(): CommandOfBundle[] {
  return JSON.parse(readFileSync(join(root, 'generated/commands.json'), 'utf8')) as CommandOfBundle[];
}

function addRun(program: Command): void {
  program
    .command('run <service...>')
    .summary('Run services of bundles until stopped')
    .description('Runs one or several services of bundles in this process, until SIGINT or SIGTERM.')
    .option('-c, --config <file>', 'configuration file')
    .option(
      '--state <folder>',
      'folder for what has to survive a restart (default: plugin.muster.state, or below your home folder)',
    )
    .addOption(
      new Option('--log-level <level>', 'lowest level that is logged, over that of the file').choices([
        'debug',
        'info',
        'warn',
        'error',
        'fatal',
      ]),
    )
    .addHelpText(
      'after',
      examples([
        'muster run server --config /etc/muster/server.conf',
        'muster run broker server --config overlay.conf --state /var/lib/muster',
      ]),
    )
    .action(async (services: string[], options: { config?: string; state?: string; logLevel?: string }) => {
      const { runServices } = await import('./run.ts');
      await runServices({ root, services, ...options });
    });
}

function addConfig(program: Command): void {
  const config = program.command('config').summary('Check configuration files').description('Check configuration files');
  config
    .command('check [file]')
    .description(
      'Reads a configuration file as a node would and tells every problem with file and line. Exits with 1 if there is one.',
    )
    .option('-c, --config <file>', 'the same as the argument')
    .option('-j, --json', 'print values and problems as JSON')
    .addHelpText('after', examples(['muster config check /etc/muster/server.conf', 'muster config check overlay.conf --json']))
    .action(async (file: string | undefined, options: { config?: string; json?: boolean }) => {
      const { checkConfig } = await import('./config-check.ts');
      checkConfig(root, file ?? options.config, options.json ?? false);
    });
}

function addCompletion(program: Command): void {
  program
    .command('completion <shell>')
    .summary('Print a completion script for bash, zsh or fish')
    .description('Prints a completion script for bash, zsh or fish.')
    .addHelpText(
      'after',
      examples(['source <(muster completion bash)', 'muster completion fish > ~/.config/fish/completions/muster.fish']),
    )
    .action(async (shell: string) => {
      const { completionScript } = await import('./completion.ts');
      process.stdout.write(completionScript(program, shell));
    });
}

try {
  await createProgram().parseAsync();
} catch (error) {
  fail(error);
}
