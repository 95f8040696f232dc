// `node run.mjs [--everything] <script> [arguments]`: prepares the checkout, then becomes the script.

import { delimiter, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { prepare, root } from './prepare.mjs';

const everything = process.argv[2] === '--everything';
const [script, ...args] = process.argv.slice(everything ? 3 : 2);
const { natsServer, ruby } = await prepare({ everything });
if (natsServer) process.env.NATS_SERVER = natsServer;
if (ruby) process.env.PATH = [process.env.PATH, ruby].filter(Boolean).join(delimiter);
process.argv = [process.argv[0], resolve(root, script), ...args];
await import(pathToFileURL(join(root, script)).href);
