// Texts that a program must never take for anything but a text: what every string input of every agent is tried with.

import { existsSync } from 'node:fs';

/** `proof` is a path of a file that only a shell, or a program that took a text for an option, would make. */
export function hostileTexts(proof: string): Readonly<Record<string, string>> {
  return {
    'a command substitution': `$(touch ${proof})`,
    backquotes: `\`touch ${proof}\``,
    'a command after a semicolon': `x; touch ${proof}`,
    'a command after a newline': `x\ntouch ${proof}`,
    'a pipe': `x | touch ${proof}`,
    'a redirection': `x > ${proof}`,
    'an option': '--help',
    'an option with a value': `-o=Dpkg::Pre-Invoke::=touch ${proof}`,
    'a NUL': 'x\0y',
    'a trailing newline': 'x\n',
    'a path upward': '../../../../etc/passwd',
    quotes: `'"\\`,
    'nothing at all': '',
    'a long text': 'x'.repeat(100_000),
    'half a surrogate pair': 'x\ud800y',
    'text from right to left': 'x\u202ey',
  };
}

export function wasTakenForACommand(proof: string): boolean {
  return existsSync(proof);
}
