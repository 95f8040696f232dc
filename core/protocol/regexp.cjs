// Patterns from schemas run on RE2, whose time is linear in the input. JavaScript's engine backtracks.

const { RE2JS } = require('re2js');

/** Compiled when it is first used: most commands validate few of the messages that the schemas know. */
module.exports = function regexp(pattern, _flags) {
  let compiled;
  const test = (text) => {
    compiled ??= RE2JS.compile(pattern);
    return compiled.matcher(text).find();
  };
  // ajv tells patterns apart by their text, and would take two without one for the same.
  return { test, toString: () => `/${pattern}/` };
};

/** @throws for a pattern that is none */
module.exports.check = (pattern) => void RE2JS.compile(pattern);
