/** What the runtimes' default seccomp profile (RuntimeDefault) keeps from a container that has no privilege for it. */

const REFUSED = [
  ...['acct', 'add_key', 'adjtimex', 'chroot', 'clock_adjtime', 'clock_settime', 'delete_module', 'fanotify_init'],
  ...['finit_module', 'fsconfig', 'fsmount', 'fsopen', 'fspick', 'get_mempolicy', 'init_module', 'io_uring_enter'],
  ...['io_uring_register', 'io_uring_setup', 'ioperm', 'iopl', 'kcmp', 'kexec_file_load', 'kexec_load', 'keyctl'],
  ...['lookup_dcookie', 'mbind', 'migrate_pages', 'mount', 'mount_setattr', 'move_mount', 'move_pages'],
  ...[
    'name_to_handle_at',
    'nfsservctl',
    'open_by_handle_at',
    'open_tree',
    'perf_event_open',
    'personality',
    'pivot_root',
  ],
  ...['process_vm_readv', 'process_vm_writev', 'ptrace', 'quotactl', 'quotactl_fd', 'reboot', 'request_key'],
  ...['set_mempolicy', 'setdomainname', 'sethostname', 'setns', 'settimeofday', 'swapoff', 'swapon', 'sysfs'],
  ...['umount2', 'unshare', 'uselib', 'userfaultfd', 'ustat', 'vhangup'],
];

/** These follow their capability. perf_event_open, which some profiles keep for CAP_SYS_ADMIN, is not missed: refused. */
const BY_CAPABILITY = { CAP_BPF: 'bpf', CAP_SYS_PTRACE: 'pidfd_getfd' } as const;

/** linux/sched.h: mount, cgroup, uts, ipc, user, pid, net. */
const NEW_NAMESPACES = [0x2_0000, 0x200_0000, 0x400_0000, 0x800_0000, 0x1000_0000, 0x2000_0000, 0x4000_0000];

const [EPERM, ENOSYS] = [1, 38];

/** As linux.seccomp of an OCI bundle. */
export function defaultSeccompProfile(capabilities: readonly string[]): unknown {
  const missing = Object.entries(BY_CAPABILITY).flatMap(([capability, call]) =>
    capabilities.includes(capability) ? [] : [call],
  );
  const refuse = (names: readonly string[], errnoRet: number, args?: unknown[]) => ({
    names,
    action: 'SCMP_ACT_ERRNO',
    errnoRet,
    ...(args && { args }),
  });
  return {
    defaultAction: 'SCMP_ACT_ALLOW',
    syscalls: [
      refuse([...REFUSED, ...missing], EPERM),
      // its flags are behind a pointer: a C library that is told this falls back to clone
      refuse(['clone3'], ENOSYS),
      ...NEW_NAMESPACES.map((flag) =>
        refuse(['clone'], EPERM, [{ index: 0, value: flag, valueTwo: flag, op: 'SCMP_CMP_MASKED_EQ' }]),
      ),
    ],
  };
}
