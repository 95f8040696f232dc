// Text that others wrote, on its way to a terminal. It may hold what moves the cursor, clears the screen, sets titles or turns
// the direction of reading; it is shown as it would be written in JSON, so that JSON stays what it is.

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const control = /[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** The text with line ends and tabs, and without any other control character. */
export function printable(text: string): string {
  return text.replaceAll('\r\n', '\n').replace(control, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
