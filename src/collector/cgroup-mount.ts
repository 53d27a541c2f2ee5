/** Where the cgroup v2 hierarchy is mounted. */

/** The mount point of the first cgroup2 file system in the text of /proc/self/mountinfo (proc_pid_mountinfo(5)). */
export function findCgroup2Mount(mountinfo: string): string | undefined {
  for (const line of mountinfo.split('\n')) {
    const [mount = '', filesystem = ''] = line.split(' - ');
    if (!filesystem.startsWith('cgroup2 ')) continue;
    // Space, tab, newline and backslash are octal escapes there.
    return mount.split(' ')[4]?.replace(/\\(\d{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)));
  }
  return undefined;
}
