// Numbers over HTTP, as long as the host runs.

import { definePlugin } from '../../core/sdk/typescript/index.ts';
import { Exporter } from './exporter.ts';

export default definePlugin({
  kind: 'exporter',
  version: '1.0.0',
  create: (host) => {
    const exporter = new Exporter(host, {
      port: host.config['plugin.choria.stats_port'] as number,
      address: host.config['plugin.choria.stats_address'] as string,
      key: 'plugin.choria.stats_port',
    });
    return {
      methods: { 'exporter/status': () => ({ address: exporter.address }) },
      activate: () => exporter.start(),
      shutdown: () => exporter.stop(),
    };
  },
});
