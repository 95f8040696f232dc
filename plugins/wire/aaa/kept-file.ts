// A file that is read again when it has changed, whichever way: written over, renamed into place, with its old time.

import { statSync } from 'node:fs';

/** What a file was made into, and what makes it anew. */
export class KeptFile<T> {
  readonly path: string;
  readonly #make: (path: string) => T;
  #mark = '';
  #outcome: { readonly value: T } | { readonly error: unknown } | undefined;

  /** @param make reads the file; what it throws is kept as well, until the file changes */
  constructor(path: string, make: (path: string) => T) {
    this.path = path;
    this.#make = make;
  }

  /** @throws what `make` threw */
  read(): T {
    if (!this.#outcome || this.hasChanged()) this.#load();
    if (this.#outcome && 'value' in this.#outcome) return this.#outcome.value;
    throw this.#outcome?.error;
  }

  hasChanged(): boolean {
    return markOf(this.path) !== this.#mark;
  }

  #load(): void {
    this.#mark = markOf(this.path);
    try {
      this.#outcome = { value: this.#make(this.path) };
    } catch (error) {
      this.#outcome = { error };
    }
  }
}

/** Differs when the file is another one or was written to. */
function markOf(path: string): string {
  const stat = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stat ? [stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join(':') : '';
}
