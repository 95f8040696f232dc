// The modifiers that there are. A dot before one of these names is a pipe; any other name behind an @ is a key.

const modifiers: ReadonlySet<string> = new Set(
  'pretty ugly reverse this flatten join valid keys values tostr fromstr group dig'.split(' '),
);

export function isModifier(name: string): boolean {
  return modifiers.has(name);
}
