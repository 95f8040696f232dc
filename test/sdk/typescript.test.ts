// The TypeScript SDK: the same agent as a process, and in the host's own as first-party plugins are.

import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { distributionRoot } from '../../core/host/distribution.ts';
import { root, shapeBundle } from '../support/languages.ts';
import { describeShape } from '../support/sdk-shape.ts';

// Types of inputs are checked when it is compiled, and deliveries come to the handlers of `host.bus.subscribe`.
const shape = { typed: false, deliveries: false };

describeShape('an agent in TypeScript', { ...shape, bundle: (parent) => shapeBundle('typescript', parent) });

describeShape('an agent in TypeScript, inline', {
  ...shape,
  process: false,
  bundle: (parent) => {
    const target = join(parent, 'shape');
    cpSync(join(root, 'fixtures/sdk/typescript'), target, { recursive: true });
    const change = (file: string, from: string, to: string) =>
      writeFileSync(join(target, file), readFileSync(join(target, file), 'utf8').replace(from, to));
    change('bundle.yaml', 'runner: persistent', 'runner: inline');
    // In the host's own process the SDK is found by its path.
    change('shape.mjs', 'muster/sdk', pathToFileURL(join(distributionRoot(), 'core/sdk/typescript/index.js')).href);
    return target;
  },
});
