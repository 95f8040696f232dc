// The verbs of Go's printf that stand in DDLs: %s %d %v %f, with width and precision.

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
      return Number(value).toFixed(precision ?? 6);
    case 'd':
      return String(Math.trunc(Number(value)));
    case 'q':
      return JSON.stringify(String(value));
    default:
      return precision === undefined ? String(value) : String(value).slice(0, precision);
  }
}
