// Whom a certificate request is for. The name is read by a pattern that takes linear time: that of the official DDL does not.

import type { Subject } from '../wire/pki/names.ts';
import { type Input, invalid } from './input.ts';

const most = { name: 80, part: 50, names: 32, alternative: 253 } as const;
const plain = /^[\p{L}\p{N}_\s-]+$/u;
const nameCharacters = /^[A-Za-z0-9_.:-]+$/;

/** @throws ActionError 4 */
export function readSubject(input: Input, identity: string): { subject: Subject; names: readonly string[] } {
  const name = input.text('cn') || identity;
  if (name.length > most.name || !nameCharacters.test(name)) throw invalid(`'${name.slice(0, most.name)}' is no name of a node`);
  const country = input.text('C');
  if (country !== '' && !/^[A-Z]{2}$/.test(country)) throw invalid('C is no country of two capital letters');
  // ST is taken and left out, as Choria's nodes do.
  const [locality, organization, unit] = ['L', 'O', 'OU', 'ST'].map((part) => readPart(input, part));
  const subject = {
    CN: name,
    ...(country !== '' && { C: country }),
    ...(locality && { L: locality }),
    ...(organization && { O: organization }),
    ...(unit && { OU: unit }),
  };
  return { subject, names: readNames(input) };
}

function readPart(input: Input, part: string): string {
  const text = input.text(part);
  if (text !== '' && (text.length > most.part || !plain.test(text)))
    throw invalid(`${part} has characters that do not belong there`);
  return text;
}

function readNames(input: Input): readonly string[] {
  const names = input.list('names');
  const wrong = names.find((name) => name.length > most.alternative || !nameCharacters.test(name));
  if (wrong !== undefined) throw invalid(`'${wrong.slice(0, most.name)}' is no name that a certificate could be for`);
  if (names.length > most.names) throw invalid(`${names.length} names were asked for; ${most.names} are the most`);
  return names;
}
