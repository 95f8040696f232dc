// Gauges and counters of plugins, kept by the host.

import type { Capability } from './index.ts';

interface MetricParams {
  readonly name: string;
  readonly value: number;
  readonly labels?: Readonly<Record<string, string>>;
}

export function createMetrics(): Capability {
  const values = new Map<string, number>();
  const keyOf = ({ name, labels = {} }: MetricParams) => `${name}${JSON.stringify(Object.entries(labels).sort())}`;
  return {
    methods: {
      'metrics/set': (params: MetricParams) => void values.set(keyOf(params), params.value),
      'metrics/add': (params: MetricParams) => void values.set(keyOf(params), (values.get(keyOf(params)) ?? 0) + params.value),
    },
  };
}
