// Damage to messages that respects their structure: members are dropped, doubled, retyped, deepened, lengthened and swapped.
// What leaves here is mostly still JSON, so that it gets past the first check.

import type { Dice } from './fuzz-dice.ts';

type Container = Record<string, unknown> | unknown[];

interface Place {
  readonly container: Container;
  readonly key: string | number;
}

const edgeNumbers = [0, -1, 1, 0.1, -0, 29, 30, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 53), 2 ** 63, 1e21, 1e300, -1e300, 5e-324];
export const edgeTexts = [
  '',
  ' ',
  '\0',
  '\x1b[2J\x1b]0;owned\x07',
  '\u009b31m',
  '\ud800',
  '\u202eabc',
  '\ufeff',
  'é'.repeat(40),
  'e\u0301',
  '\u2028',
  '😀',
  '*',
  '>',
  'a.b.>',
  '..',
  '/',
  '//',
  '/(a+)+$/',
  '/[/',
  'NaN',
  '1e999',
  '-0',
  'true',
  'null',
  '$SYS.x',
  '../../etc/passwd',
  '{"a":1}',
  'cGluZw==',
  'x\r\nPUB a 0\r\n',
];
const oddKeys = ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'length', '', 'data', 'then', 'toJSON', '0'];
/** Deeper than what any message needs. */
const depths = [1, 3, 20, 450];
/** Deeper than what the stack takes. */
const abysses = [450, 5_000, 100_000];
const lengths = [2, 30, 253, 1_000, 20_000, 100_000];
const maxPlaces = 400;

/** A changed copy. `spare` are values of other messages, to be put where they don't belong. */
export function mutate(value: unknown, dice: Dice, spare: readonly unknown[]): unknown {
  const root = { value: structuredClone(value) };
  for (let round = 1 + dice.below(3); round > 0; round -= 1) {
    const places = placesIn(root);
    if (places.length === 0) break;
    dice.pick(changes)(dice.pick(places), dice, spare, places);
  }
  return root.value;
}

type Change = (place: Place, dice: Dice, spare: readonly unknown[], places: readonly Place[]) => void;

const drop: Change = ({ container, key }) => {
  if (Array.isArray(container)) container.splice(Number(key), 1);
  else delete container[key];
};

const double: Change = (place, dice) => {
  const { container } = place;
  if (Array.isArray(container)) container.push(structuredClone(read(place)));
  else write({ container, key: dice.pick(oddKeys) }, structuredClone(read(place)));
};

const retype: Change = (place, dice) => {
  const number = () => dice.pick(edgeNumbers);
  const kinds = [() => null, () => dice.chance(0.5), number, () => dice.pick(edgeTexts), () => [], () => ({}), () => [number()]];
  write(place, dice.pick(kinds)());
};

const number: Change = (place, dice, _spare, places) => {
  const numbers = places.filter((one) => typeof read(one) === 'number');
  write(numbers.length > 0 ? dice.pick(numbers) : place, dice.pick(edgeNumbers));
};

const deepen: Change = (place, dice) => {
  let value = read(place);
  const wrapped = dice.chance(0.5);
  // Rarely very deep, since that is slow for whoever makes it.
  for (let depth = dice.chance(0.05) ? dice.pick(depths) : dice.below(4); depth >= 0; depth -= 1)
    value = wrapped ? [value] : { a: value };
  write(place, value);
};

const lengthen: Change = (place, dice) => {
  const value = read(place);
  const length = dice.chance(0.04) ? dice.pick(lengths) : 2 + dice.below(60);
  if (typeof value === 'string') write(place, (value || 'x').repeat(Math.ceil(length / (value.length || 1))));
  else if (Array.isArray(value)) write(place, Array(Math.min(length, 500)).fill(value[0] ?? dice.pick(edgeTexts)));
  else write(place, 'y'.repeat(length));
};

const swap: Change = (place, dice, _spare, places) => {
  const other = dice.pick(places);
  const [mine, its] = [structuredClone(read(place)), structuredClone(read(other))];
  write(place, its);
  write(other, mine);
};

const borrow: Change = (place, dice, spare) => write(place, structuredClone(dice.pick(spare)));

const text: Change = (place, dice, _spare, places) => {
  const texts = places.filter((one) => typeof read(one) === 'string');
  const chosen = texts.length > 0 ? dice.pick(texts) : place;
  const value = read(chosen);
  write(chosen, mutateText(typeof value === 'string' ? value : '', dice));
};

const changes: readonly Change[] = [drop, double, retype, number, deepen, lengthen, swap, borrow, text, text];

/** A text with something put in, taken out, doubled or exchanged. */
export function mutateText(source: string, dice: Dice): string {
  const [from, to] = [dice.below(source.length + 1), dice.below(source.length + 1)].sort((a, b) => a - b) as [number, number];
  switch (dice.below(5)) {
    case 0:
      return source.slice(0, from) + dice.pick(edgeTexts) + source.slice(from);
    case 1:
      return source.slice(0, from) + source.slice(Math.min(to, from + 8));
    case 2:
      return source.slice(0, to) + source.slice(from);
    case 3:
      return source.slice(0, from) + String.fromCodePoint(dice.below(0xd7ff)) + source.slice(from + 1);
    default:
      return dice.pick(edgeTexts);
  }
}

/** JSON text in which a member stands twice, or a number is none that JavaScript holds. */
export function mutateJsonText(source: string, dice: Dice): string {
  const members = [...source.matchAll(/"([\w-]+)":/g)];
  if (members.length === 0) return source;
  const { 0: member, index } = dice.pick(members);
  const values = ['null', '1e999', '-1e999', '"x"', '[]', '{}', '123456789012345678901234567890', '0.1e-400'];
  const abyss = dice.pick(abysses);
  const value = dice.chance(0.01) ? '['.repeat(abyss) + ']'.repeat(abyss) : dice.pick(values);
  return source.slice(0, index) + member + value + (dice.chance(0.5) ? ',' : ' ,') + source.slice(index);
}

/** Bytes that were cut off, altered or put in; mostly no JSON any more. */
export function mutateBytes(payload: Uint8Array, dice: Dice): Uint8Array {
  const bytes = Buffer.from(payload);
  const at = dice.below(bytes.length);
  switch (dice.below(4)) {
    case 0:
      return bytes.subarray(0, at);
    case 1:
      bytes[at] = dice.below(256);
      return bytes;
    case 2:
      return Buffer.concat([bytes.subarray(0, at), Buffer.from([dice.below(256), 0xff, 0]), bytes.subarray(at)]);
    default:
      return Buffer.concat([bytes.subarray(0, at), bytes.subarray(Math.max(0, at - 40))]);
  }
}

/** Base64 in a wrong alphabet, with blanks, without its end, with more padding, or of other bytes. */
export function mutateBase64(source: string, dice: Dice): string {
  const at = dice.below(source.length + 1);
  switch (dice.below(5)) {
    case 0:
      return source.replaceAll('+', '-').replaceAll('/', '_');
    case 1:
      return `${source.slice(0, at)}\n${source.slice(at)}`;
    case 2:
      return source.slice(0, at);
    case 3:
      return `${source}=`;
    default:
      return Buffer.from(source).toString('base64');
  }
}

function placesIn(root: { value: unknown }): Place[] {
  const found: Place[] = [];
  const waiting: Container[] = [root];
  for (let container = waiting.shift(); container && found.length < maxPlaces; container = waiting.shift())
    for (const key of Array.isArray(container) ? container.keys() : Object.keys(container)) {
      const place = { container, key };
      found.push(place);
      const value = read(place);
      if (typeof value === 'object' && value !== null) waiting.push(value as Container);
    }
  return found;
}

function read({ container, key }: Place): unknown {
  return Array.isArray(container) ? container[Number(key)] : Object.hasOwn(container, key) ? container[key] : undefined;
}

/** Also under names that an assignment would take for something else. */
function write({ container, key }: Place, value: unknown): void {
  Object.defineProperty(container, key, { value, enumerable: true, writable: true, configurable: true });
}
