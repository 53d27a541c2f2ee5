/**
 * What the path of a cgroup says about who runs in it: the pod, the container, the systemd unit. Rules: identity.md,
 * "cgroup path → pod and container". Pure text: paths may be relative or lie in a nested hierarchy.
 */
export interface CgroupOwner {
  /** With dashes, or the 32 hex digits of a static pod's config hash. */
  readonly podUid: string | undefined;
  /** 64 hex digits. */
  readonly containerId: string | undefined;
  /** Unit name without `.service` or `.scope`; template instances as they are (`getty@tty1`). */
  readonly unit: string | undefined;
  /** The unit lies inside the container, so it names the workload better. */
  readonly unitInContainer: boolean;
}

const POD =
  /(?:^|[/:-])pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}|[0-9a-f]{32})(?=[/:-]|\.slice|$)/gi;

/** One part of a path between `/` and `:`; a conmon is the runtime's own process, not the container. */
const CONTAINER = /^(?:cri-containerd-|crio-|docker-|libpod-)?([0-9a-f]{64})(?:\.scope)?$/i;
const RUNTIME_SCOPE = /^(?:cri-containerd|crio|crio-conmon|docker|libpod|libpod-conmon)-/;
const LOGIN_SCOPE = /^session-/;

export function cgroupOwner(path: string): CgroupOwner {
  const pods = [...path.matchAll(POD)];
  const pod = pods.at(-1);
  const parts = splitWithOffsets(path);
  const container = findContainer(parts, pod ? pod.index + pod[0].length : undefined);
  const service = parts.findLast(({ text }) => text.endsWith('.service'));
  const scope = parts.findLast(
    ({ text }) =>
      text.endsWith('.scope') && !RUNTIME_SCOPE.test(text) && !LOGIN_SCOPE.test(text) && !CONTAINER.test(text),
  );
  const unit = service ?? scope;
  return {
    podUid: pod?.[1]?.toLowerCase().replaceAll('_', '-'),
    containerId: container?.id,
    unit: unit?.text.replace(/\.(service|scope)$/, ''),
    unitInContainer: unit !== undefined && container !== undefined && unit.offset > container.offset,
  };
}

interface Part {
  readonly text: string;
  readonly offset: number;
}

function splitWithOffsets(path: string): Part[] {
  return [...path.matchAll(/[^/:]+/g)].map((match) => ({ text: match[0], offset: match.index }));
}

/** Behind a pod: the first container (deeper ones are its own business). Without a pod: the innermost. */
function findContainer(parts: readonly Part[], podEnd: number | undefined): { id: string; offset: number } | undefined {
  const found = parts.flatMap(({ text, offset }) => {
    const id = CONTAINER.exec(text)?.[1];
    return id ? [{ id: id.toLowerCase(), offset }] : [];
  });
  return podEnd === undefined ? found.at(-1) : found.find(({ offset }) => offset >= podEnd);
}
