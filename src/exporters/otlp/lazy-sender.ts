/**
 * A transport that is loaded when it first sends: gRPC alone takes megabytes, and most agents use one transport or none.
 */
import type { Sender } from './sender.ts';

export function lazySender(target: string, load: () => Promise<Sender>): Sender {
  let loading: Promise<Sender> | undefined;
  let loaded: Sender | undefined;
  return {
    target,
    async send(body, abort) {
      loading ??= load();
      loaded = await loading;
      return loaded.send(body, abort);
    },
    close: () => loaded?.close(),
  };
}
