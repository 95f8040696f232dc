// Versions as RPM compares them: an epoch, then segments of digits and letters, where `~` comes before everything.

/** Whether both are the same version, however they are written. */
export function sameVersion(a: string, b: string): boolean {
  const [left, right] = [split(a), split(b)];
  return left.epoch === right.epoch && equalParts(left.version, right.version) && equalParts(left.release, right.release);
}

function split(text: string): { epoch: string; version: string; release: string } {
  const [, epoch = '0', version = '', release = ''] = /^(?:(\d+):)?([^-]*)(?:-(.*))?$/s.exec(text.trim()) ?? [];
  return { epoch: epoch.replace(/^0+(?=.)/, ''), version, release };
}

function equalParts(a: string, b: string): boolean {
  return segments(a).join(' ') === segments(b).join(' ');
}

/** Numbers without leading zeros, words, and tildes; what is between them says nothing. */
function segments(text: string): string[] {
  return (text.match(/\d+|[A-Za-z]+|~|\^/g) ?? []).map((part) => part.replace(/^0+(?=\d)/, ''));
}
