// `node run.mjs <script> [arguments]`: prepares the checkout, then becomes the script.

import { join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { prepare, root } from './prepare.mjs';

const { natsServer } = await prepare();
if (natsServer) process.env.NATS_SERVER = natsServer;
const [script, ...args] = process.argv.slice(2);
process.argv = [process.argv[0], resolve(root, script), ...args];
await import(pathToFileURL(join(root, script)).href);
