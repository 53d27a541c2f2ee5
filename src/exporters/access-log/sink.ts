/** Where lines go: a file or device (file-sink.ts), or a pipe or socket (stream-sink.ts). One write at a time. */
export interface Sink {
  /**
   * Writes from the beginning of `lines`, which starts and ends with a line unless an earlier write stopped inside one.
   * Resolves with the number of bytes written, 0 when it takes nothing just now. Rejects with SinkClosed when nobody will
   * ever read it, with the system's error when it may work later; then nothing of `lines` was written.
   */
  write(lines: Buffer): Promise<number>;
  /** Takes the last `count` bytes written back off the end. False if that can't be done or would hurt somebody else's bytes. */
  retract(count: number): Promise<boolean>;
  /** Frees it, after the write under way; stdout and stderr stay open, they are the process's. */
  close(): Promise<void>;
}

/** The reading end of a pipe or socket has gone. */
export class SinkClosed extends Error {
  constructor(cause: unknown) {
    super('the reading end is closed', { cause });
    this.name = 'SinkClosed';
  }
}
