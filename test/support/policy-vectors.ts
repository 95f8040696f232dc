// The vectors of authorization, where they are; tests go without where they are not.

import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const file = fileURLToPath(new URL('../../../shared/reference/vectors/aaa.json', import.meta.url));

export interface Expectation {
  readonly allow: boolean;
  readonly error: string | null;
}

export interface PolicyVectors {
  readonly action_list: readonly {
    readonly id: string;
    readonly title: string;
    readonly agents: readonly string[] | null;
    readonly agent: string;
    readonly action: string;
    readonly expect: Expectation;
  }[];
  readonly opa: readonly {
    readonly id: string;
    readonly title: string;
    readonly policy: string;
    readonly site: string;
    readonly request: Readonly<Record<string, unknown>> & { readonly time: string };
    readonly claims: Readonly<Record<string, unknown>>;
    readonly expect: Expectation;
  }[];
  readonly fact_expression: readonly { readonly id: string; readonly text: string; readonly expect: object | null }[];
  readonly node_aaasvc_selection: readonly {
    readonly id: string;
    readonly title: string;
    readonly claims?: Readonly<Record<string, unknown>>;
    readonly agent: string;
    readonly action: string;
    readonly expect: Expectation;
  }[];
  readonly node_rego_policy: readonly {
    readonly id: string;
    readonly title: string;
    readonly policy: string;
    readonly input: Readonly<Record<string, unknown>>;
    readonly expect: Expectation;
  }[];
}

export const policyVectors: PolicyVectors | undefined = existsSync(file)
  ? (JSON.parse(readFileSync(file, 'utf8')) as PolicyVectors)
  : undefined;
