// Names the tests that passed at their second try, so that what is wrong with them, or with what they test, is looked for.

import type { Reporter, TestModule } from 'vitest/node';

export class SecondTry implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    for (const module of modules)
      for (const test of module.children.allTests())
        if (test.diagnostic()?.flaky === true)
          console.error(`passed at the second try only: ${module.relativeModuleId} > ${test.fullName}`);
  }
}
