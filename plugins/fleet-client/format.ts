// The verbs of Go's printf that stand in DDLs: %s %d %v %f, with width and precision.

/** More digits than any tie between two numbers needs. */
const exactDigits = 60;
/** JavaScript writes 100 at most. */
const maxDigits = 100 - exactDigits;

export function formatVerbs(format: string, values: readonly (string | number)[]): string {
  let next = 0;
  return format.replace(
    /%(-?)(\d*)(?:\.(\d+))?([sdvfq%])/g,
    (_all, left: string, width: string, precision: string | undefined, verb: string) => {
      if (verb === '%') return '%';
      const value = values[next];
      next += 1;
      if (value === undefined) return '%!(MISSING)';
      const text = spell(value, verb, precision === undefined ? undefined : Number(precision));
      return left === '-' ? text.padEnd(Number(width)) : text.padStart(Number(width));
    },
  );
}

function spell(value: string | number, verb: string, precision: number | undefined): string {
  switch (verb) {
    case 'f':
      return fixed(Number(value), precision ?? 6);
    case 'd':
      return String(Math.trunc(Number(value)));
    case 'q':
      return JSON.stringify(String(value));
    default:
      return precision === undefined ? String(value) : String(value).slice(0, precision);
  }
}

/** So many decimals, ties to the even digit as in Go, where JavaScript goes away from zero. */
export function fixed(value: number, asked: number): string {
  const digits = Math.min(asked, maxDigits);
  const exact = value.toFixed(digits + exactDigits);
  const cut = exact.slice(0, -exactDigits).replace(/\.$/, '');
  const isTie = /^50*$/.test(exact.slice(-exactDigits));
  return isTie && Number(cut.at(-1)) % 2 === 0 ? cut : value.toFixed(digits);
}
