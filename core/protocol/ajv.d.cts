import type { Ajv } from 'ajv';
export function createContractAjv(options: { source: boolean }): Ajv;
