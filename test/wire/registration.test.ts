import { gunzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { fileMessage, inventoryMessage, type NodeDocument, readInventoryMessage } from '../../plugins/wire/registration.ts';

const document: NodeDocument = {
  agents: [],
  classes: ['role::db'],
  facts: { site: 'lab' },
  status: {},
  collectives: ['choria'],
  build_info: { version: '1.2.3', sha: 'abc' },
  machines: [],
};
const protocol = 'choria:registration:inventorycontent:1';

describe('an inventory message', () => {
  test('of Choria is read', () => {
    const zcontent =
      'H4sIAAAAAAAA/yXMQQrDMAxE0bvM2gTa7nSVYoqsOLVAtcFysgm5e3G7HJj/TvA71+GgZwwQY/c8B3qzTLQmxICNZT5OuI4MgnHCFeCDx+6gupsFSDPLMvT491JaV5512tXWl9atTeLI3bVVEG7LfXkgwAuDwEmm+WEpWn9EvL6bjATInQAAAA==';
    expect(readInventoryMessage(JSON.stringify({ protocol, zcontent }))).toEqual({ ...document, status: null });
  });

  test('has the document compressed, or as it is', () => {
    const packed = JSON.parse(inventoryMessage(document, true)) as { zcontent: string };
    expect(Object.keys(packed)).toEqual(['protocol', 'zcontent']);
    expect(JSON.parse(gunzipSync(Buffer.from(packed.zcontent, 'base64')).toString())).toEqual(document);
    expect(JSON.parse(inventoryMessage(document, false))).toEqual({ protocol, content: document });
  });

  test.each([
    ['nonsense', 'the registration is not JSON'],
    [JSON.stringify({ protocol, zcontent: 'AAAA' }), 'the registration can not be inflated'],
    [JSON.stringify({ protocol, content: 'text' }), 'the registration holds no document'],
  ])('%s is refused', (body, message) => {
    expect(() => readInventoryMessage(body)).toThrow(message);
  });

  test('of another protocol is another’s', () => {
    expect(readInventoryMessage(JSON.stringify({ protocol: 'choria:registration:filecontent:1' }))).toBeUndefined();
  });
});

test('a file message has the bytes of the file in base64', () => {
  const file = { mtime: 1_700_000_000, file: '/etc/motd', updated: false, content: Buffer.from('hello') };
  expect(JSON.parse(fileMessage(file, false))).toEqual({
    ...{ mtime: 1_700_000_000, file: '/etc/motd', updated: false, protocol: 'choria:registration:filecontent:1' },
    content: 'aGVsbG8=',
  });
  const { zcontent } = JSON.parse(fileMessage(file, true)) as { zcontent: string };
  expect(gunzipSync(Buffer.from(zcontent, 'base64')).toString()).toBe('hello');
});
