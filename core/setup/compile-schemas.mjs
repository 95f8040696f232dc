// Compiles every JSON Schema of the project into a stand-alone validator and a TypeScript type, under .build/generated.
// Owns: which schema files exist and what `#schemas/<name>` resolves to. Not: when a validator is called.

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { contractValidatorSources } from '../protocol/contract-schemas.mjs';

const require = createRequire(import.meta.url);

/** Where schemas lie, and the prefix under `#schemas/` that they get. */
const schemaRoots = [
  { dir: 'ddl/schemas', prefix: '' },
  { dir: 'core/protocol/schemas', prefix: 'core/' },
];
const contractDirs = ['ddl/contracts', 'core/capabilities'];

export async function compileSchemas(root) {
  const { default: standalone } = await import('ajv/dist/standalone/index.js');
  const { compile } = await import('json-schema-to-typescript');
  const out = join(root, '.build/generated');
  rmSync(out, { recursive: true, force: true });
  for (const { dir, prefix } of schemaRoots) {
    for (const file of jsonFiles(join(root, dir))) {
      const schema = JSON.parse(readFileSync(file, 'utf8'));
      const name = prefix + relative(join(root, dir), file).replace(/\.json$/, '');
      const target = join(out, name);
      mkdirSync(dirname(target), { recursive: true });
      // Whoever writes a manifest or a configuration wants to know of all mistakes; a message is refused at the first.
      const ajv = createAjv({ allErrors: name === 'core/manifest' || name.startsWith('choria/aaa/') });
      const validate = ajv.compile(withoutIdentity(schema));
      writeFileSync(
        `${target}.cjs`,
        standalone
          .default(ajv, validate)
          .replace('module.exports = ', 'exports.validate = ')
          .replace(/module\.exports\.default = [^;]+;/, ''),
      );
      const types = await compile(structuredClone(withoutIdentity(schema)), schema.title, {
        bannerComment: '',
        additionalProperties: true,
        cwd: dirname(file),
      });
      writeFileSync(
        `${target}.d.cts`,
        `${types}\nexport declare const validate: { (data: unknown): data is ${typeName(schema.title)}; errors?: import('ajv').ErrorObject[] | null };\n`,
      );
    }
  }
  for (const file of contractDirs.flatMap((dir) => jsonFiles(join(root, dir)))) {
    const contract = JSON.parse(readFileSync(file, 'utf8'));
    const target = join(out, 'contracts', `${contract.kind}.cjs`);
    mkdirSync(dirname(target), { recursive: true });
    const ajv = createAjv();
    const exported = {};
    for (const [id, schema] of contractValidatorSources(contract)) {
      ajv.addSchema(schema, id);
      exported[id] = id;
    }
    writeFileSync(target, standalone.default(ajv, exported));
  }
}

function createAjv({ allErrors = false } = {}) {
  const { createContractAjv } = require('../protocol/ajv.cjs');
  return createContractAjv({ source: true, allErrors });
}

/** Schemas are compiled one by one, so `$schema` and `id` of older drafts say nothing that ajv needs. */
function withoutIdentity({ $schema: _draft, id: _old, $id: _new, ...rest }) {
  return rest;
}

function typeName(title) {
  const name = title.replace(/[^A-Za-z0-9]+(.)?/g, (_, next) => (next ?? '').toUpperCase());
  return name.charAt(0).toUpperCase() + name.slice(1);
}

function jsonFiles(dir) {
  try {
    return readdirSync(dir, { recursive: true })
      .filter((f) => f.endsWith('.json'))
      .map((f) => join(dir, f))
      .sort();
  } catch (error) {
    if (error.code === 'ENOENT') return [];
    throw error;
  }
}
