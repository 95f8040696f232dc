export interface NewBundle {
  readonly root: string;
  readonly kind: string;
  readonly name: string;
  readonly language: string;
  readonly into: string;
}
export function newBundle(_request: NewBundle): void {
  throw new Error('not there yet');
}
