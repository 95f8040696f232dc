export function startEcho(): { call(params: object): Promise<unknown>; stop(): void };
