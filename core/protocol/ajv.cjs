// The one way that Muster makes a JSON Schema compiler: linear-time regular expressions and the `bytes` keyword.
// CommonJS because the code that ajv generates is, and both must find the same `regexp` module.

const { default: Ajv, _ } = require('ajv');
const regexp = require('./regexp.cjs');

/** @param {{source: boolean, allErrors?: boolean}} options `source` keeps the generated code, for stand-alone modules. */
exports.createContractAjv = function createContractAjv({ source, allErrors = false }) {
  const ajv = new Ajv({
    strict: false,
    allErrors,
    validateFormats: false,
    // Lengths count UTF-16 units: counting code points of long messages would cost as much as verifying their signatures.
    unicode: false,
    logger: false,
    code: {
      source,
      lines: true,
      regExp: Object.assign(
        (pattern, flags) => {
          regexp.check(pattern);
          return regexp(pattern, flags);
        },
        { code: `require("#regexp")` },
      ),
    },
  });
  // `contentEncoding: base64` is a Uint8Array in memory; the carriers convert, so validators only ever see bytes.
  ajv.addKeyword({ keyword: 'bytes', schemaType: 'boolean', code: (cxt) => cxt.fail(_`!(${cxt.data} instanceof Uint8Array)`) });
  return ajv;
};
