export function countReplies(payloads: readonly Uint8Array[], output: string): Map<unknown, number>;
