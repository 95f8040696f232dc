// Puts files in place as `configure` does, and ends by SIGKILL before the step of this number. Prints the steps that it came to.

import { writeSync } from 'node:fs';

const [module, folder, plan, last] = process.argv.slice(2);
const { place, stage } = await import(module);
let count = 0;
const onStep = (step) => {
  if (count === Number(last)) process.kill(process.pid, 'SIGKILL');
  count += 1;
  writeSync(1, `${step}\n`);
};
stage(folder, JSON.parse(plan), onStep);
place(folder, onStep);
