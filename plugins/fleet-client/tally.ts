// Who was asked, who answered, and who did not: the books of one request.

export class Tally {
  responses = 0;
  ok = 0;
  readonly #outstanding = new Set<string>();
  readonly #silent = new Set<string>();
  readonly #answered = new Set<string>();
  readonly #unexpected = new Set<string>();
  /** Further answers that are no surprise, since the node was asked again. */
  readonly #asked = new Map<string, number>();
  readonly #anybody: boolean;

  /** @param anybody whether nobody in particular is asked, so that no answer is a surprise */
  constructor(anybody = false) {
    this.#anybody = anybody;
  }

  /** They are asked now. */
  expect(targets: readonly string[]): void {
    for (const target of targets) this.#outstanding.add(target);
  }

  /** They are asked again, so that each may answer once more. */
  expectAgain(targets: readonly string[]): void {
    for (const target of targets) this.#asked.set(target, (this.#asked.get(target) ?? 0) + 1);
  }

  /** Nobody waits for the outstanding ones any more; whoever is late still counts. */
  giveUp(): void {
    for (const target of this.#outstanding) this.#silent.add(target);
    this.#outstanding.clear();
  }

  /** Notes an answer. `repeated` is the second one of a node that was asked again: the same reply, sent twice. */
  admit(sender: string): 'awaited' | 'unexpected' | 'repeated' {
    const isAwaited = this.#anybody || this.#outstanding.delete(sender) || this.#silent.delete(sender);
    const repeats = this.#asked.get(sender) ?? 0;
    if (!isAwaited && this.#answered.has(sender) && repeats > 0) {
      this.#asked.set(sender, repeats - 1);
      return 'repeated';
    }
    if (!isAwaited) this.#unexpected.add(sender);
    this.#answered.add(sender);
    this.responses += 1;
    return isAwaited ? 'awaited' : 'unexpected';
  }

  get outstanding(): readonly string[] {
    return [...this.#outstanding];
  }

  /** Whether nobody is waited for: everybody has answered, or of anybody the first. */
  get isComplete(): boolean {
    return this.#anybody ? this.responses > 0 : this.#outstanding.size === 0;
  }

  /** How many nodes answered. */
  get answered(): number {
    return this.#answered.size;
  }

  get askedAgain(): number {
    return this.#asked.size;
  }

  get silent(): readonly string[] {
    return [...this.#silent].sort();
  }

  get unexpected(): readonly string[] {
    return [...this.#unexpected].sort();
  }
}
