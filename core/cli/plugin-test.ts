export async function testBundle(_bundle: string, _options: { plugin?: string; json?: boolean }): Promise<void> {
  throw new Error('not there yet');
}
