// `npm run bench [name]`: one benchmark, or all of them. What follows the name is the benchmark's own.

const benches = [
  'plugin-calls',
  'node',
  'external-agents',
  'reload',
  'fanout',
  'provisioning',
  'aaa',
  'memory',
  'help',
  'filters',
  'client-replies',
  'discovery',
];

const [wanted, ...args] = process.argv.slice(2);
if (wanted !== undefined && !benches.includes(wanted)) {
  process.stderr.write(`there is no benchmark ${wanted}; there are ${benches.join(', ')}\n`);
  process.exit(1);
}
for (const name of wanted === undefined ? benches : [wanted]) {
  const { run } = (await import(`./${name}.js`)) as { run: (args: readonly string[]) => Promise<void> };
  await run(args);
}
