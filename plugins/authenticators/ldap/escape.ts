// Names that somebody typed, in a filter (RFC 4515) and in a DN (RFC 4514): no character of them means anything there.

/** Puts values into a filter with places such as `{username}`. */
export function filledFilter(template: string, values: Readonly<Record<string, string>>): string {
  return filled(template, values, (value) => [...Buffer.from(value)].map(byteInFilter).join(''));
}

/** Puts values into a DN. */
export function filledDn(template: string, values: Readonly<Record<string, string>>): string {
  return filled(template, values, (value) => [...value].map(characterInDn).join(''));
}

/** All but letters and digits, as bytes in hex. */
function byteInFilter(byte: number): string {
  const character = String.fromCharCode(byte);
  return /[A-Za-z0-9]/.test(character) ? character : `\\${byte.toString(16).padStart(2, '0')}`;
}

function characterInDn(character: string): string {
  if (/[\p{L}\p{N}]/u.test(character)) return character;
  return [...Buffer.from(character)].map((byte) => `\\${byte.toString(16).padStart(2, '0')}`).join('');
}

function filled(template: string, values: Readonly<Record<string, string>>, safe: (value: string) => string): string {
  return template.replaceAll(/\{(\w+)\}/g, (whole, name: string) => {
    const value = Object.hasOwn(values, name) ? values[name] : undefined;
    return value === undefined ? whole : safe(value);
  });
}
