// The sequence of Go's math/rand for a seed, so that a seeded choice takes the nodes that Choria's client takes: an additive
// lagged Fibonacci generator over 607 words (Mitchell and Reeds), x(n) = x(n-607) + x(n-273) modulo 2^64.
//
// Its words start as the seed's own, XORed with those that the generator has after a run of 7.8e12 steps from seed 1. Nobody
// has to take these steps: one is a multiplication by y modulo y^607 - y^334 - 1, and powers of y are quickly made.

const length = 607;
const tap = 273;
const runSteps = 7_800_000_000_000;
const modulus = 2 ** 31 - 1;
/** Words that the seeding generator gives before the first that counts. */
const discarded = 20;
/** What takes the place of a seed of 0, which the seeding generator would never leave. */
const seedForZero = 89_482_311;
const word = (1n << 64n) - 1n;
/** Hex digits of a coefficient: a sum of 1,820 products of two words fits. */
const slotDigits = 36;

export class GoRandom {
  readonly #words: bigint[];
  #tap = 0;
  #feed = length - tap;

  constructor(seed: number) {
    const own = seededWords(seed, 40n, 20n);
    const afterRun = wordsAfter(runSteps);
    this.#words = own.map((value, index) => value ^ (afterRun[index] ?? 0n));
  }

  /** Go's `Shuffle`: swaps from the end. */
  shuffle<T>(items: readonly T[]): T[] {
    const shuffled = [...items];
    for (let last = shuffled.length - 1; last > 0; last -= 1) {
      const other = this.#below(last + 1);
      const [moved, kept] = [shuffled[last] as T, shuffled[other] as T];
      shuffled[last] = kept;
      shuffled[other] = moved;
    }
    return shuffled;
  }

  /** Evenly spread below a limit (Lemire's method), as Go's `int31n`. */
  #below(limit: number): number {
    const rejected = (2 ** 32 - limit) % limit;
    for (;;) {
      const product = this.#next32() * BigInt(limit);
      if (Number(product & 0xffff_ffffn) >= rejected) return Number(product >> 32n);
    }
  }

  #next32(): bigint {
    this.#tap = (this.#tap + length - 1) % length;
    this.#feed = (this.#feed + length - 1) % length;
    const sum = ((this.#words[this.#feed] ?? 0n) + (this.#words[this.#tap] ?? 0n)) & word;
    this.#words[this.#feed] = sum;
    return (sum >> 31n) & 0xffff_ffffn;
  }
}

/** Three numbers of a linear congruential generator make one word. */
function seededWords(seed: number, high: bigint, middle: bigint): bigint[] {
  let state = BigInt(((seed % modulus) + modulus) % modulus || seedForZero);
  const next = () => {
    state = (state * 48_271n) % BigInt(modulus);
    return state;
  };
  for (let count = 0; count < discarded; count += 1) next();
  return Array.from({ length }, () => ((next() << high) ^ (next() << middle) ^ next()) & word);
}

/** The words of the generator with seed 1, shifted as it was for that run, after so many steps. */
function wordsAfter(steps: number): bigint[] {
  const start = seededWords(1, 20n, 10n);
  // The generator runs downwards through its words: step k writes at 334 - k.
  const indexOf = (step: number) => (((length - tap - step) % length) + length) % length;
  const sequence = Array.from({ length }, (_, index) => start[indexOf(index - length + 1)] ?? 0n);
  for (let index = length; index < 2 * length - 1; index += 1)
    sequence.push(((sequence[index - length] ?? 0n) + (sequence[index - tap] ?? 0n)) & word);
  // Word j after the run is the sum of power[i] * sequence[i + j]: a product of polynomials, one of them reversed.
  const sums = multiply(powerOfY(steps).reverse(), sequence);
  const words = new Array<bigint>(length).fill(0n);
  for (let index = 0; index < length; index += 1)
    words[indexOf(steps - length + 1 + index)] = (sums[length - 1 + index] ?? 0n) & word;
  return words;
}

/** y to this power modulo y^607 - y^334 - 1, lowest coefficient first. */
function powerOfY(power: number): bigint[] {
  let result = reduce([1n]);
  for (const bit of power.toString(2)) {
    result = reduce(multiply(result, result));
    if (bit === '1') result = reduce([0n, ...result]);
  }
  return result;
}

function reduce(coefficients: readonly bigint[]): bigint[] {
  const reduced = [...coefficients];
  for (let power = reduced.length - 1; power >= length; power -= 1) {
    const value = reduced[power] ?? 0n;
    for (const lower of [power - length, power - tap]) reduced[lower] = ((reduced[lower] ?? 0n) + value) & word;
  }
  return Array.from({ length }, (_, power) => reduced[power] ?? 0n);
}

/** Both polynomials as one large number each, a slot for a coefficient: the engine multiplies those far faster than a loop. */
function multiply(left: readonly bigint[], right: readonly bigint[]): bigint[] {
  const digits = (pack(left) * pack(right)).toString(16);
  const count = left.length + right.length;
  const padded = digits.padStart(count * slotDigits, '0');
  return Array.from(
    { length: count },
    (_, slot) => BigInt(`0x${padded.slice(padded.length - (slot + 1) * slotDigits, padded.length - slot * slotDigits)}`) & word,
  );
}

function pack(coefficients: readonly bigint[]): bigint {
  const digits = coefficients.map((value) => value.toString(16).padStart(slotDigits, '0'));
  return BigInt(`0x${digits.reverse().join('')}`);
}
