// `inventory_content`: the whole document of the node.

import { definePlugin, type Host } from '../../core/sdk/typescript/index.ts';
import { inventoryMessage, type NodeDocument } from '../wire/registration.ts';

const keys = 'plugin.choria.registration.inventory_content';

export default definePlugin({
  kind: 'registration',
  version: '1.0.0',
  create: ({ config }: Host) => ({
    methods: {
      'registration/collect': ({ node }: { node: NodeDocument }) => {
        const target = config[`${keys}.target`];
        const body = inventoryMessage(node, config[`${keys}.compression`] === true);
        return { messages: [{ body, ...(typeof target === 'string' && target !== '' && { target }) }] };
      },
    },
  }),
});
