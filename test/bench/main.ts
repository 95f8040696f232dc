// `npm run bench [name]`: one benchmark, or all of them.

const benches = ['plugin-calls', 'node', 'external-agents', 'reload', 'memory', 'help', 'filters', 'discovery'];

const [wanted] = process.argv.slice(2);
if (wanted !== undefined && !benches.includes(wanted)) {
  process.stderr.write(`there is no benchmark ${wanted}; there are ${benches.join(', ')}\n`);
  process.exit(1);
}
for (const name of wanted === undefined ? benches : [wanted]) {
  const { run } = (await import(`./${name}.js`)) as { run: () => Promise<void> };
  await run();
}
