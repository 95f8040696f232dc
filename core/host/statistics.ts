// What a plugin did so far, for `plugin list`.

const samples = 256;

export class Statistics {
  calls = 0;
  errors = 0;
  restarts = 0;
  /** Made with the first call: thousands of hosts share a process, and most of their plugins are never called. */
  #latencies: Float64Array | undefined;
  #next = 0;

  record(ms: number, failed: boolean): void {
    this.calls += 1;
    if (failed) this.errors += 1;
    this.#latencies ??= new Float64Array(samples);
    this.#latencies[this.#next % samples] = ms;
    this.#next += 1;
  }

  /** Latencies of the last 256 calls in milliseconds; null before the first. */
  latency(): { readonly p50: number; readonly p99: number } | null {
    const count = Math.min(this.#next, samples);
    if (!this.#latencies || count === 0) return null;
    const sorted = this.#latencies.slice(0, count).sort();
    const at = (share: number) => Math.round((sorted[Math.min(count - 1, Math.floor(count * share))] ?? 0) * 1000) / 1000;
    return { p50: at(0.5), p99: at(0.99) };
  }
}
