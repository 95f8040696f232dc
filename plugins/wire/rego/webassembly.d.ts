// What the types of Node lack and the evaluation uses.

declare namespace WebAssembly {
  /** A compiled module; threads may share it. */
  interface Module {
    readonly [Symbol.toStringTag]: 'WebAssembly.Module';
  }
  function compile(bytes: Uint8Array): Promise<Module>;
}
