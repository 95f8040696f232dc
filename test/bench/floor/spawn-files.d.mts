export function runOnce(executable: string, request: object): Promise<unknown>;
