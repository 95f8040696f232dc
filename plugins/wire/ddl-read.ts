// Reads DDLs as leniently as those who wrote the format: keys in any case, null and absent for the empty value, unknown
// keys passed over. What has the wrong type is an error that names its place.

export class DdlError extends Error {
  override readonly name = 'DdlError';
  readonly code = 'DDL';
}

/** One object of a DDL and where it is, such as `actions.0.input.name`. */
export class DdlObject {
  readonly #values: Readonly<Record<string, unknown>>;
  readonly #origin: string;
  readonly #path: string;

  /** @throws DdlError if it is no object; null counts as an empty one */
  constructor(value: unknown, origin: string, path = '') {
    if ((typeof value !== 'object' && value !== undefined) || Array.isArray(value))
      throw new DdlError(`${origin} is no DDL: ${path || 'the document'} must be an object`);
    this.#values = (value ?? {}) as Readonly<Record<string, unknown>>;
    this.#origin = origin;
    this.#path = path;
  }

  /** Empty if it is not there. */
  text(key: string): string {
    const value = this.raw(key);
    if (value === undefined) return '';
    if (typeof value !== 'string') throw this.#wrong(key, 'a string');
    return value;
  }

  /** Undefined if it is not there. */
  whole(key: string): number | undefined {
    const value = this.raw(key);
    if (value !== undefined && !Number.isInteger(value)) throw this.#wrong(key, 'a whole number');
    return value as number | undefined;
  }

  flag(key: string): boolean {
    const value = this.raw(key);
    if (value !== undefined && typeof value !== 'boolean') throw this.#wrong(key, 'true or false');
    return value === true;
  }

  texts(key: string): string[] | undefined {
    const value = this.raw(key);
    if (value === undefined) return undefined;
    if (!Array.isArray(value) || !value.every((item) => typeof item === 'string')) throw this.#wrong(key, 'a list of strings');
    return value;
  }

  object(key: string): DdlObject {
    return new DdlObject(this.raw(key) ?? {}, this.#origin, this.#at(key));
  }

  /** The objects of a list. */
  objects(key: string): DdlObject[] {
    const value = this.raw(key) ?? [];
    if (!Array.isArray(value)) throw this.#wrong(key, 'a list');
    return value.map((item, index) => new DdlObject(item, this.#origin, `${this.#at(key)}.${index}`));
  }

  /** The objects of a map by name, as the names are written. */
  named<T>(key: string, read: (item: DdlObject) => T): Record<string, T> {
    const map = this.object(key);
    return Object.fromEntries(
      Object.entries(map.#values).map(([name, item]) => [name, read(new DdlObject(item, this.#origin, `${map.#path}.${name}`))]),
    );
  }

  /** The value as it is; undefined for null. */
  raw(key: string): unknown {
    const name = Object.hasOwn(this.#values, key)
      ? key
      : Object.keys(this.#values).find((other) => other.toLowerCase() === key.toLowerCase());
    return name === undefined ? undefined : (this.#values[name] ?? undefined);
  }

  #at(key: string): string {
    return this.#path === '' ? key : `${this.#path}.${key}`;
  }

  #wrong(key: string, wanted: string): DdlError {
    return new DdlError(`${this.#origin} is no DDL: ${this.#at(key)} must be ${wanted}`);
  }
}
