/**
 * Words for a connection that never established, as ztunnel (Rust's io::Error over glibc's strerror) prints them:
 * `io error: Connection refused (os error 111)`.
 */

/** What connect() can end with on Linux: the TCP stack's own errors and those of icmp_err_convert and icmpv6_err_convert. */
const STRERROR: ReadonlyMap<number, string> = new Map([
  [1, 'Operation not permitted'],
  [12, 'Cannot allocate memory'],
  [13, 'Permission denied'],
  [22, 'Invalid argument'],
  [32, 'Broken pipe'],
  [64, 'Machine is not on the network'],
  [71, 'Protocol error'],
  [90, 'Message too long'],
  [92, 'Protocol not available'],
  [95, 'Operation not supported'],
  [99, 'Cannot assign requested address'],
  [100, 'Network is down'],
  [101, 'Network is unreachable'],
  [102, 'Network dropped connection on reset'],
  [103, 'Software caused connection abort'],
  [104, 'Connection reset by peer'],
  [105, 'No buffer space available'],
  [110, 'Connection timed out'],
  [111, 'Connection refused'],
  [112, 'Host is down'],
  [113, 'No route to host'],
]);

/** What connect() returned where the socket itself carries no error. */
const EADDRNOTAVAIL = 99;

/** `errno`: sk_err at the failure, 0 where there is none. `errorType`: telemetry.md §2, error.type. */
export function connectErrorText(errno: number, errorType: string | undefined): string {
  if (errno === 0 && errorType === 'no_local_port') return osError(EADDRNOTAVAIL);
  if (errno === 0 && errorType === '_OTHER')
    return 'connection failed before a packet could leave: no route, or a local policy';
  if (errno === 0) return 'connection aborted by the application before it was established';
  return osError(errno);
}

function osError(errno: number): string {
  const text = STRERROR.get(errno);
  return text === undefined ? `io error: os error ${errno}` : `io error: ${text} (os error ${errno})`;
}
