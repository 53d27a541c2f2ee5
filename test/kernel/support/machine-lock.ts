/**
 * One test file at a time has the kernel: these tests saturate the machine, count its sockets and look for leftovers.
 * The lock is a name in the abstract unix namespace: the kernel frees it when the holder dies, however it dies.
 */
import { createServer, type Server } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

const NAME = '\0tcpledger-kernel-tests';

/** Waits for its turn. Resolves to the function that lets the next one in. */
export async function machineLock(): Promise<() => Promise<void>> {
  for (;;) {
    const server = await bound();
    if (server !== undefined) return () => new Promise((resolve) => server.close(() => resolve()));
    await delay(100);
  }
}

function bound(): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(error);
    });
    server.listen(NAME, () => resolve(server));
  });
}
