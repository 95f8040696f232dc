// Numbers over HTTP where another plugin wants them, which has keys of its own for that.

import { definePlugin, PluginError } from '../../core/sdk/typescript/index.ts';
import { Exporter, type Place } from './exporter.ts';

export default definePlugin({
  kind: 'exporter',
  version: '1.0.0',
  create: (host) => {
    let exporter: Exporter | undefined;
    return {
      methods: {
        'exporter/listen': async (place: Place) => {
          await exporter?.stop();
          exporter = new Exporter(host, place);
          await exporter.start();
          return { address: exporter.address };
        },
        'exporter/status': () => {
          if (!exporter) throw new PluginError('UNAVAILABLE', 'nobody asked for numbers to be shown here yet');
          return { address: exporter.address };
        },
      },
      shutdown: () => exporter?.stop(),
    };
  },
});
