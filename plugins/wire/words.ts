// A command line as a shell splits it into words. Nothing is expanded, and no shell runs.

/** A command line that no shell would take. */
export class WordsError extends Error {
  override readonly name = 'WordsError';
  readonly code = 'WORDS';
}

/** @throws WordsError for a quote that is not closed, or a backslash at the end */
export function splitWords(line: string): string[] {
  const words: string[] = [];
  let rest = line;
  while (rest.trimStart() !== '') {
    const { word, after } = takeWord(rest.trimStart(), line);
    words.push(word);
    rest = after;
  }
  return words;
}

function takeWord(text: string, line: string): { word: string; after: string } {
  let word = '';
  let rest = text;
  while (rest !== '' && !/^[ \t\n]/.test(rest)) {
    // Quoted whole; quoted with escapes; one escaped character, of which a line's end vanishes; anything else.
    const part = /^'([^']*)'|^"((?:[^"\\]|\\.)*)"|^\\(.)|^([^'"\\ \t\n]+)/s.exec(rest);
    if (!part) throw new WordsError(`the command '${line}' has a quote that is not closed, or ends with a backslash`);
    const [whole, single, double, escaped, plain] = part;
    word += single ?? double?.replace(/\\([$`"\\])|\\\n/g, '$1') ?? (escaped === '\n' ? '' : escaped) ?? plain ?? '';
    rest = rest.slice(whole.length);
  }
  return { word, after: rest };
}
