export interface ContractDocument {
  readonly definitions?: Readonly<Record<string, unknown>>;
  readonly methods: Readonly<Record<string, object>>;
}
export type ContractPart = 'params' | 'result' | 'progress';
export function contractValidatorSources(contract: ContractDocument): [id: string, schema: object][];
export function validatorId(method: string, part: ContractPart): string;
