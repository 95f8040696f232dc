// Completion scripts, made from the commands that there are.

import type { Command } from 'commander';

interface Words {
  /** The command's path below `muster`, separated by blanks; empty for the top. */
  readonly path: string;
  readonly words: readonly string[];
}

/** @throws Error for a shell that is not known */
export function completionScript(program: Command, shell: string): string {
  const all = gather(program, '');
  switch (shell) {
    case 'bash':
      return bash(all);
    case 'zsh':
      return `autoload -U +X bashcompinit && bashcompinit\n${bash(all)}`;
    case 'fish':
      return fish(all);
    default:
      throw new Error(`there is a completion script for bash, zsh and fish, not for ${shell}`);
  }
}

function gather(command: Command, path: string): Words[] {
  const visible = command.createHelp().visibleCommands(command);
  const flags = command
    .createHelp()
    .visibleOptions(command)
    .flatMap((option) => (option.long ? [option.long] : []));
  const below = visible
    .filter((child) => child.name() !== 'help')
    .flatMap((child) => gather(child, path === '' ? child.name() : `${path} ${child.name()}`));
  return [{ path, words: [...visible.map((child) => child.name()), ...flags] }, ...below];
}

function bash(all: readonly Words[]): string {
  const cases = all.map(({ path, words }) => `    '${path}') words='${words.join(' ')}' ;;`).join('\n');
  return `_muster() {
  local path='' word words=''
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$word" in -*) ;; *) path="\${path:+$path }$word" ;; esac
  done
  case "$path" in
${cases}
    *) words='' ;;
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
  [ \${#COMPREPLY[@]} -gt 0 ] || compopt -o default 2>/dev/null
}
complete -F _muster muster
`;
}

function fish(all: readonly Words[]): string {
  const lines = all.map(({ path, words }) => {
    const condition = path === '' ? '__fish_use_subcommand' : `__fish_seen_subcommand_from ${path.split(' ').at(-1)}`;
    return `complete -c muster -n '${condition}' -a '${words.join(' ')}'`;
  });
  return `${lines.join('\n')}\n`;
}
