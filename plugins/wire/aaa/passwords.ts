// Hashes of passwords: bcrypt as Choria has it, argon2id for new ones; computed in threads, so that the event loop goes on.

const bcryptHash = /^\$2[a-z]\$\d\d\$[./A-Za-z0-9]{53}$/;
const argon2idHash = /^\$argon2id\$v=19\$m=\d{1,7},t=\d{1,3},p=\d{1,2}\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}$/;

export function isPasswordHash(text: string): boolean {
  return bcryptHash.test(text) || argon2idHash.test(text);
}

/** False as well for a hash that is none. */
export async function passwordFits(password: string, hash: string): Promise<boolean> {
  if (argon2idHash.test(hash)) return (await import('@node-rs/argon2')).verify(hash, password);
  if (!bcryptHash.test(hash)) return false;
  // Choria takes any letter; they stand for mistakes of old programs that none of these hashes has.
  return (await import('@node-rs/bcrypt')).verify(password, `$2b${hash.slice(3)}`);
}

/** By argon2id with 19 MiB and two rounds, what OWASP asks for. */
export async function hashPassword(password: string): Promise<string> {
  const { hash } = await import('@node-rs/argon2');
  return hash(password, { memoryCost: 19_456, timeCost: 2, parallelism: 1 });
}
