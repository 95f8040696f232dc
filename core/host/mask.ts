// Keeps secrets out of what people are shown and what is written to recordings.

export const masked = '(masked)';

/** Shorter values of secret keys are too likely to be part of something harmless. */
const minSecretLength = 4;
/** Nobody reads what is nested deeper. */
const maxDepth = 100;
const secretName = /pass(word|wd|phrase)?$|secret|token|credential|authorization|cookie|(private|api|access|signing)[_-]?key/i;
const secretText = /-----BEGIN [A-Z ]*PRIVATE KEY-----|^eyJ[\w-]+\.eyJ[\w-]+\.[\w-]*$/;

/**
 * A copy of a JSON value without secrets: values under names such as `password` or `token`, private keys, tokens, and
 * whatever holds one of the given texts in any case. Bytes become `{"$base64": "…"}`.
 */
export function createMask(secrets: readonly string[]): (value: unknown) => unknown {
  const known = secrets.filter((secret) => secret.length >= minSecretLength).map((secret) => secret.toLowerCase());
  const isSecret = (text: string) => secretText.test(text) || known.some((secret) => text.toLowerCase().includes(secret));
  const mask = (value: unknown, depth = 0): unknown => {
    if (depth > maxDepth) return '(nested too deep)';
    if (typeof value === 'string') return isSecret(value) ? masked : value;
    if (value instanceof Uint8Array) return { $base64: Buffer.from(value).toString('base64') };
    if (Array.isArray(value)) return value.map((item) => mask(item, depth + 1));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([name, inner]) => [name, isHidden(name, inner) ? masked : mask(inner, depth + 1)]),
    );
  };
  return (value) => mask(value);
}

function isHidden(name: string, value: unknown): boolean {
  return secretName.test(name) && (typeof value === 'string' || typeof value === 'number') && value !== '';
}

/** Gives `{"$base64": "…"}` back as bytes. */
export function restoreBytes(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(restoreBytes);
  if (typeof value !== 'object' || value === null) return value;
  const { $base64: text, ...rest } = value as Record<string, unknown>;
  if (typeof text === 'string' && Object.keys(rest).length === 0) return new Uint8Array(Buffer.from(text, 'base64'));
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, restoreBytes(inner)]));
}
