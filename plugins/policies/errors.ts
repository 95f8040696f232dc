// What can be wrong with what `muster policy` is given. The message names the file and says what to do.

export class PolicyCommandError extends Error {
  override readonly name = 'PolicyCommandError';
  readonly code = 'POLICY_COMMAND';
}
