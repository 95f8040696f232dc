// The order in which files of tests start: those that take longest first, so that none of them runs alone at the end.

import { relative } from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Those that take far longer than their size tells; others start by size, or by how long they took here before. */
const long = [
  'test/overlay/up.test.ts',
  'test/cli/output.test.ts',
  'test/fleet/filters.test.ts',
  'test/cli/commands.test.ts',
  'test/fleet/registry.test.ts',
  'test/discovery/commands.test.ts',
  'test/fleet/tracing.test.ts',
  'test/fleet/collectives.test.ts',
  'test/fleet/federation.test.ts',
  'test/fleet/requests.test.ts',
  'test/fleet/registration.test.ts',
  'test/conformance/kit.test.ts',
  'test/sdk/typescript.test.ts',
  'test/fleet/life.test.ts',
  'test/provisioning/provisioner-election.test.ts',
  'test/fleet/fuzz.test.ts',
  'test/provisioning/provisioner-herd.full.test.ts',
  'test/fleet/fuzz.full.test.ts',
  'test/provisioning/cell.full.test.ts',
];

export class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification) => {
      const place = long.indexOf(relative(this.ctx.config.root, moduleId));
      return place < 0 ? long.length : place;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}
