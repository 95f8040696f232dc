// What a contract's schemas look like to a validator: bytes in place of base64 text. Used at build time for the
// first-party contracts and at run time for those that a bundle brings.

const parts = ['params', 'result', 'progress'];

/** Pairs of validator id (`method:part`, escaped for a JavaScript export name) and schema. */
export function contractValidatorSources(contract) {
  const sources = [];
  for (const [method, spec] of Object.entries(contract.methods)) {
    for (const part of parts) {
      if (spec[part] !== undefined) sources.push([validatorId(method, part), inMemory(spec[part], contract.definitions)]);
    }
  }
  return sources;
}

export function validatorId(method, part) {
  return `${method.replace(/[^A-Za-z0-9]/g, '_')}__${part}`;
}

/** The schema with every `contentEncoding: base64` replaced by a check for bytes. */
export function inMemory(schema, definitions) {
  const converted = convert(schema);
  return definitions === undefined ? converted : { ...converted, definitions: convert(definitions) };
}

function convert(node) {
  if (Array.isArray(node)) return node.map(convert);
  if (node === null || typeof node !== 'object') return node;
  if (node.contentEncoding === 'base64') return { bytes: true };
  return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, convert(value)]));
}
