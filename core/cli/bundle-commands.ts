// Commands that bundles bring: an entry of `commands:` in a manifest to a command with arguments, flags and help.

import { Argument, type Command, InvalidArgumentError, Option } from 'commander';
import type { CommandEntry } from '../host/manifest.ts';

/** An entry with the plugin of kind `command` that answers for it. */
export type CommandOfBundle = CommandEntry & { readonly plugin: string };

export function addBundleCommands(program: Command, entries: readonly CommandOfBundle[]): void {
  const groups = new Map<string, Command>();
  for (const entry of entries) {
    const parent = groupOf(program, groups, entry, entries);
    const name = entry.path.at(-1) ?? '';
    const command = parent
      .command(name, { hidden: entry.hidden ?? false })
      .summary(entry.summary)
      .description(entry.description ?? entry.summary)
      .aliases(entry.aliases ?? []);
    for (const argument of entry.arguments ?? []) command.addArgument(argumentOf(argument));
    for (const option of entry.options ?? []) command.addOption(optionOf(option));
    if (entry.config !== false) command.option('--config <file>', 'client configuration file');
    command.option('--debug', 'log what happens to stderr');
    if (entry.examples) command.addHelpText('after', exampleText(entry.examples));
    command.action(async () => {
      const { runBundleCommand } = await import('./run-command.ts');
      const { config, debug, ...options } = command.opts<Record<string, unknown>>();
      await runBundleCommand(entry, {
        arguments: namedArguments(entry, command.processedArgs as unknown[]),
        options,
        config: config as string | undefined,
        debug: debug === true,
      });
    });
  }
}

/** The command above, such as `overlay` of `overlay up`; made when it is first needed. */
function groupOf(
  program: Command,
  groups: Map<string, Command>,
  entry: CommandOfBundle,
  all: readonly CommandOfBundle[],
): Command {
  let parent = program;
  for (const [depth, name] of entry.path.slice(0, -1).entries()) {
    const key = entry.path.slice(0, depth + 1).join(' ');
    let group = groups.get(key);
    if (!group) {
      const inside = all.filter(({ path, hidden }) => !hidden && path.slice(0, depth + 1).join(' ') === key);
      const members = [...new Set(inside.map(({ path }) => path[depth + 1]))];
      // Bundles may add to a group of the command line's own, such as `plugin`.
      group =
        parent.commands.find((command) => command.name() === name) ??
        parent.command(name).description(`Commands: ${[...new Set(members)].join(', ')}`);
      groups.set(key, group);
    }
    parent = group;
  }
  return parent;
}

function argumentOf({
  name,
  description,
  required = true,
  variadic = false,
}: NonNullable<CommandEntry['arguments']>[number]): Argument {
  const text = `${name}${variadic ? '...' : ''}`;
  return new Argument(required ? `<${text}>` : `[${text}]`, description);
}

function optionOf({
  flags,
  description,
  default: preset,
  repeat,
  number,
  choices,
}: NonNullable<CommandEntry['options']>[number]): Option {
  const option = new Option(flags, description);
  if (preset !== undefined) option.default(preset);
  if (choices) option.choices(choices);
  else if (repeat) option.argParser<string[]>((value, before) => [...(Array.isArray(before) ? before : []), value]);
  else if (number) option.argParser((value) => readNumber(value));
  return option;
}

function readNumber(text: string): number {
  if (!/^-?\d+(\.\d+)?$/.test(text)) throw new InvalidArgumentError('It must be a number.');
  return Number(text);
}

function namedArguments({ arguments: declared = [] }: CommandEntry, values: readonly unknown[]): Record<string, unknown> {
  return Object.fromEntries(
    declared.map(({ name }, index) => [name, values[index]] as const).filter(([, value]) => value !== undefined),
  );
}

function exampleText(list: NonNullable<CommandEntry['examples']>): string {
  return `\nExamples:\n${list.map(({ command, description }) => `  # ${description}\n  $ ${command}`).join('\n\n')}`;
}
