/** A server that has no socket on this machine, as if it were on a node that nobody observes. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { undoLater } from '../../../kernel/support/cleanup.ts';
import { addStrangers, type Namespace } from '../../../kernel/support/namespace.ts';
import { peerProgram } from '../../../kernel/support/tool.ts';

/** Whoever dials an address of the prefix from that namespace gets so many bytes for each segment that he sends. */
export async function strangeServers(namespace: Namespace, prefix: string, reply: number): Promise<() => void> {
  const device = await addStrangers(namespace, prefix);
  const inside = ['ip', 'netns', 'exec', namespace.name] as const;
  const [program, ...words] = [...inside, await peerProgram(), 'answer', device, String(reply)] as const;
  const child = spawn(program, words, { stdio: ['pipe', 'pipe', 'inherit'] });
  const kill = undoLater(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  return kill;
}
