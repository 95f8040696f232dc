// Numbers in text as Go reads them.

const named: Readonly<Record<string, number>> = { inf: Number.POSITIVE_INFINITY, infinity: Number.POSITIVE_INFINITY };

/** A float, also in hexadecimal or by name; undefined if it is none, or too large. */
export function parseFloat64(text: string): number | undefined {
  if (text.toLowerCase() === 'nan') return Number.NaN;
  const [, sign = '', rest = ''] = /^([+-]?)(.*)$/s.exec(text) ?? [];
  const size = Object.hasOwn(named, rest.toLowerCase()) ? named[rest.toLowerCase()] : (parseHex(rest) ?? parseDecimal(rest));
  return size === undefined || sign !== '-' ? size : -size;
}

/** Digits may be parted by single underscores. */
function parseDecimal(written: string): number | undefined {
  const text = written.replace(/(\d)_(?=\d)/g, '$1');
  if (!/^(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return undefined;
  const value = Number(text);
  return Number.isFinite(value) ? value : undefined;
}

function parseHex(written: string): number | undefined {
  const text = written.replace(/([\da-fx])_(?=[\da-f])/gi, '$1');
  const [, whole = '', fraction = '', exponent] = /^0x([\da-f]*)(?:\.([\da-f]*))?p([+-]?\d+)$/i.exec(text) ?? [];
  if (exponent === undefined || whole + fraction === '') return undefined;
  const value = Number.parseInt(whole + fraction, 16) * 2 ** (Number(exponent) - 4 * fraction.length);
  return Number.isFinite(value) ? value : undefined;
}

/** A whole number of 64 bits in decimals; undefined if it is none. */
export function parseInt64(text: string): bigint | undefined {
  if (!/^[+-]?\d+$/.test(text) || text.length > 1_000) return undefined;
  const value = BigInt(text.replace('+', ''));
  return value === BigInt.asIntN(64, value) ? value : undefined;
}
