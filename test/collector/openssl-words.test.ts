import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { connect } from 'node:tls';
import { expect, it, onTestFinished } from 'vitest';
import { openSslWords } from '../../src/collector/openssl-words.ts';

it('is what this Node says of a peer that speaks no TLS', async () => {
  const server = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const [error] = await once(connect((server.address() as AddressInfo).port, '127.0.0.1'), 'error').catch((e) => [e]);
  expect(openSslWords((error as Error).message)).toMatch(/^(write EPROTO )?wrong version number$/);
});

it.each([
  [
    'C0B7:error:0A00045C:SSL routines:ssl3_read_bytes:tlsv13 alert certificate required:../deps/x.c:1605:SSL alert number 116\n',
    'tlsv13 alert certificate required',
  ],
  [
    'Last error: Error: 80FC:error:0A00010B:SSL routines:ssl3_get_record:wrong version number:../deps/x.c:350:\n. Resolution note: ',
    'Last error: Error: wrong version number. Resolution note:',
  ],
  ['connect ECONNREFUSED 127.0.0.1:1', 'connect ECONNREFUSED 127.0.0.1:1'],
])('takes the words out of %j', (message, words) => {
  expect(openSslWords(message)).toBe(words);
});
