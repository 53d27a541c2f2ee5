/**
 * What a test makes outside of its process (namespaces, cgroups, processes) is taken away again whatever happens:
 * at the end of the test file, and when the process ends by itself or by a signal. Undone in reverse order.
 */
const pending = new Set<() => void>();

let watching = false;

/** Runs `undo` at the latest when this process ends. It must be synchronous. Returns the function that runs it now. */
export function undoLater(undo: () => void): () => void {
  watch();
  pending.add(undo);
  return () => {
    if (pending.delete(undo)) undo();
  };
}

function undoAll(): void {
  for (const undo of [...pending].reverse()) {
    pending.delete(undo);
    try {
      undo();
    } catch (error) {
      console.error(error);
    }
  }
}

function watch(): void {
  if (watching) return;
  watching = true;
  process.on('exit', undoAll);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      undoAll();
      process.kill(process.pid, signal);
    });
  }
}
