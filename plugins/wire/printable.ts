// Text from elsewhere, for a terminal.

import { fitsSubject } from './subjects.ts';

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const unprintable = /\r(?!\n)|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]/g;

/** Control characters act on the terminal of whoever reads, so they are spelt out. Tabs and line ends stay. */
export function printable(text: string): string {
  return text.replace(unprintable, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** Names of nodes are shown to people and become part of subjects, and whoever answers may give any. */
export function isNodeName(name: string): boolean {
  return fitsSubject(name) && printable(name) === name;
}
