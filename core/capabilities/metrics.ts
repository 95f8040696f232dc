// Counters and gauges of plugins, kept by the host for whoever shows them. A plugin may tell its numbers only when they are
// asked for, so that counting costs its calls nothing.

import type { Host } from '../host/host.ts';
import type { Plugin } from '../host/plugin.ts';
import { PluginError } from '../protocol/errors.ts';
import type { Capability } from './capability.ts';

type Labels = Readonly<Record<string, string>>;
type MetricType = 'counter' | 'gauge';

interface MetricParams {
  readonly name: string;
  readonly value: number;
  readonly labels?: Labels;
  readonly type?: MetricType;
  readonly help?: string;
}

interface Series {
  readonly labels: Labels;
  value: number;
}

interface Metric {
  readonly name: string;
  type: MetricType;
  help: string;
  readonly series: Map<string, Series>;
}

/** As it is listed. */
interface Listed {
  readonly name: string;
  readonly type: MetricType;
  readonly help: string;
  readonly values: readonly Readonly<Series>[];
}

/** Series of one host; labels that take any value would fill the memory. */
const maxSeries = 10_000;
const collectMs = 5_000;

export function createMetrics(host: Host): Capability {
  const metrics = new Map<string, Metric>();
  const collectors = new Map<Plugin, () => Promise<unknown>>();
  let count = 0;

  const seriesOf = ({ name, labels = {}, type, help }: MetricParams, byDefault: MetricType): Series => {
    let metric = metrics.get(name);
    if (!metric) {
      metric = { name, type: type ?? byDefault, help: help ?? '', series: new Map() };
      metrics.set(name, metric);
    }
    metric.type = type ?? metric.type;
    metric.help = help ?? metric.help;
    const key = JSON.stringify(Object.entries(labels).sort());
    let series = metric.series.get(key);
    if (!series) {
      if (count >= maxSeries)
        throw new PluginError('TOO_LARGE', `the host keeps ${maxSeries} series of metrics at most; use labels with fewer values`);
      count += 1;
      series = { labels, value: 0 };
      metric.series.set(key, series);
    }
    return series;
  };

  return {
    methods: {
      'metrics/set': (params: MetricParams) => {
        seriesOf(params, 'gauge').value = params.value;
      },
      'metrics/add': (params: MetricParams) => {
        seriesOf(params, 'counter').value += params.value;
      },
      'metrics/watch': async ({ id }: { id: string }, caller) => {
        await caller.declare('collection', id, {}, () => {
          collectors.set(caller.plugin, () => caller.plugin.deliver('metrics/collect', { id }, collectMs));
          return () => void collectors.delete(caller.plugin);
        });
      },
      'metrics/list': async () => {
        await Promise.all(
          [...collectors].map(([plugin, collect]) =>
            collect().catch((error: Error) => plugin.log.warn({}, `its metrics are not up to date: ${error.message}`)),
          ),
        );
        const told = [...metrics.values()].map(
          ({ series, ...about }): Listed => ({ ...about, values: [...series.values()].map(copy) }),
        );
        return { metrics: [...told, ...ownMetrics(host)] };
      },
    },
  };
}

function copy({ labels, value }: Series): Series {
  return { labels, value };
}

/** What the host counts by itself: its process, and the calls of its plugins. */
function ownMetrics(host: Host): Listed[] {
  const { user, system } = process.cpuUsage();
  const plugins = host.list().filter(({ state, announcedBy }) => state !== 'off' && announcedBy === null);
  const one = (name: string, type: MetricType, help: string, value: number): Listed => ({
    name,
    type,
    help,
    values: [{ labels: {}, value }],
  });
  const each = (name: string, type: MetricType, help: string, pick: (plugin: (typeof plugins)[number]) => number): Listed => ({
    name,
    type,
    help,
    values: plugins.map((plugin) => ({ labels: { plugin: `${plugin.kind}/${plugin.name}` }, value: pick(plugin) })),
  });
  return [
    one('process_resident_memory_bytes', 'gauge', 'Resident memory of the host process', process.memoryUsage.rss()),
    one('process_cpu_seconds_total', 'counter', 'Processor time of the host process', (user + system) / 1e6),
    one('process_start_time_seconds', 'gauge', 'When the host process started, in Unix seconds', host.runtime.startedAt / 1000),
    each('muster_plugin_calls_total', 'counter', 'Calls that a plugin answered', ({ calls }) => calls),
    each('muster_plugin_errors_total', 'counter', 'Calls that a plugin answered with an error', ({ errors }) => errors),
    each(
      'muster_plugin_restarts_total',
      'counter',
      'Starts of a plugin after an end that was not asked for',
      ({ restarts }) => restarts,
    ),
    each('muster_plugin_calls_in_flight', 'gauge', 'Calls that a plugin works on', ({ inFlight }) => inFlight),
    each('muster_plugin_calls_waiting', 'gauge', 'Calls that wait for a plugin', ({ waiting }) => waiting),
  ];
}
