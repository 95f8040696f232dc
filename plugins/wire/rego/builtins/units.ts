// Numbers with units, as in `10Ki` and `2MB`.

import { type Builtin, type Json, text, Undefined } from './values.ts';

const decimal = ['', 'k', 'm', 'g', 't', 'p', 'e'];
const siNames: Readonly<Record<string, number>> = {
  '': 1,
  m: 1e-3,
  k: 1e3,
  K: 1e3,
  M: 1e6,
  g: 1e9,
  G: 1e9,
  t: 1e12,
  T: 1e12,
  p: 1e15,
  P: 1e15,
  e: 1e18,
  E: 1e18,
};

export const unitBuiltins: Readonly<Record<string, Builtin>> = {
  'units.parse': (given) => {
    const { number, unit } = split(given);
    const binary = /^([kmgtpe])i$/i.exec(unit)?.[1]?.toLowerCase();
    const factor = binary ? 1024 ** decimal.indexOf(binary) : siNames[unit];
    if (factor === undefined) throw new Undefined('no unit');
    return rounded(number * factor);
  },
  'units.parse_bytes': (given) => {
    const { number, unit } = split(given);
    const found = /^(?:([kmgtpe])(i?)b?)?$/.exec(unit.toLowerCase());
    if (!found) throw new Undefined('no unit');
    return Math.trunc(number * (found[2] ? 1024 : 1000) ** decimal.indexOf(found[1] ?? ''));
  },
};

function split(given: Json | undefined): { number: number; unit: string } {
  const whole = text(given).replaceAll('"', '');
  const found = /^([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(.*)$/.exec(whole);
  if (!found || /\s/.test(whole)) throw new Undefined('no number');
  const [, number = '', unit = ''] = found;
  return { number: Number(number), unit };
}

/** Thousandths of whole numbers are not exact in binary. */
function rounded(value: number): number {
  return Number.isInteger(value) ? value : Number(value.toPrecision(15));
}
