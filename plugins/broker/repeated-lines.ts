// Thousands of connections that fail in one way are worth one line now and then, with how many there were.

const quietMs = 10_000;
const maxKinds = 500;

interface Kind {
  until: number;
  more: number;
}

export class RepeatedLines {
  readonly #kinds = new Map<string, Kind>();

  /** Says a line unless one that differs in numbers and names only was said a moment ago. */
  tell(text: string, say: (line: string) => void, now = Date.now()): void {
    const key = text.replaceAll(/"[^"]*"/g, '').replaceAll(/[\w.:[\]-]*\d[\w.:[\]>-]*/g, '#');
    const kind = this.#kinds.get(key);
    if (kind && kind.until > now) {
      kind.more += 1;
      return;
    }
    if (this.#kinds.size >= maxKinds) this.#kinds.clear();
    this.#kinds.set(key, { until: now + quietMs, more: 0 });
    say(kind && kind.more > 0 ? `${text} (and ${kind.more} more like the one before)` : text);
  }
}
