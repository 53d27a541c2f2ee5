/**
 * libbpf.so.1 and the few libc calls beside it, through koffi. Pointers are BigInts, 0n and null are NULL. Functions
 * return libbpf's own codes: ≥ 0, or a negative errno; those that return pointers set errno.
 *
 * No callback is ever passed to C: koffi's callbacks from foreign threads crash, and a throw inside one loses what follows.
 */
import { getSystemErrorName } from 'node:util';
import koffi, { type KoffiFunc } from 'koffi';
import { TcpledgerError } from '../collector/errors.ts';

export type Pointer = bigint;

type Sync<A extends unknown[], R> = KoffiFunc<(...args: A) => R>;

const MAP_FAILED = 2n ** 64n - 1n;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MAP_FIXED = 0x10;

/** Verifier output that a failed load leaves behind. */
const LOG_BYTES = 256 * 1024;

export interface ProgramStatistics {
  readonly runs: number;
  readonly runNs: number;
}

/** A mapping and the view of it. */
export interface Mapping {
  readonly address: Pointer;
  readonly view: ArrayBuffer;
}

export interface Libbpf {
  /** Opens an object file; `readLog` gives what the verifier said of a later load that failed. */
  open(path: string): { object: Pointer; readLog(): string };
  load(object: Pointer): Promise<number>;
  close(object: Pointer): void;
  /** The object's BTF as it is in the file (copied). */
  rawBtf(object: Pointer): Buffer;
  map(object: Pointer, name: string): Pointer;
  program(object: Pointer, name: string): Pointer;
  mapFd(map: Pointer): number;
  setMaxEntries(map: Pointer, entries: number): number;
  setPinPath(map: Pointer, path: string): number;
  /** Whether `load` loads this program. */
  setAutoload(program: Pointer, on: boolean): number;
  /** The initial contents of a global-data map, writable until the object is loaded. */
  initialValue(map: Pointer): Uint8Array;
  programFd(program: Pointer): number;
  attach(program: Pointer): Promise<Pointer>;
  attachIterator(program: Pointer): Promise<Pointer>;
  pinLink(link: Pointer, path: string): number;
  /** `link` is NULL when it could not be opened, for the reason `errno`. */
  openLink(path: string): { link: Pointer; errno: number };
  destroyLink(link: Pointer): Promise<number>;
  /** Attaches a program to a control group, by the low-level call: returns the link's descriptor. */
  attachCgroup(programFd: number, cgroupFd: number, attachType: number, flags: number): number;
  /** Pins what a descriptor is of. */
  pinFd(fd: number, path: string): number;
  /** A descriptor of what is pinned. */
  openPinned(path: string): number;
  /** Reads an iterator to its end: runs its program over everything. */
  runIterator(link: Pointer): Promise<number>;
  /** Runs a `syscall` program once, off the event loop. */
  testRun(programFd: number): Promise<number>;
  lookup(mapFd: number, key: Buffer, value: Buffer): number;
  update(mapFd: number, key: Buffer | null, value: Buffer, flags: number): number;
  remove(mapFd: number, key: Buffer): number;
  /** Takes the first value of a queue out of it. */
  take(mapFd: number, value: Buffer): number;
  nextKey(mapFd: number, key: Buffer | null, next: Buffer): number;
  /** The kernel's number of a map: given once a boot. */
  mapId(mapFd: number): number;
  /** Run statistics of a program; both 0 while kernel.bpf_stats_enabled is off. */
  statistics(programFd: number): ProgramStatistics;
  /**
   * Maps `length` bytes of a map. The view is never unmapped: one that outlives its mapping crashes the process.
   * Throws with errno's name when the kernel refuses.
   */
  mmap(fd: number, length: number, offset: number, writable: boolean): Mapping;
  /** Exchanges what is behind a read-only mapping, in one call: its address and its view stay. */
  remap(mapping: Mapping, fd: number, offset: number): void;
  /** Bytes of a page: 4,096, or 16 or 64 KiB on some arm64 kernels. */
  pageBytes(): number;
  /** Nanoseconds since boot, suspended time included: bpf_ktime_get_boot_ns. */
  bootTimeNs(): number;
}

export function openLibbpf(): Libbpf {
  const library = loadLibrary('libbpf.so.1');
  const libc = loadLibrary('libc.so.6');
  const declare = <A extends unknown[], R>(from: ReturnType<typeof koffi.load>, prototype: string): Sync<A, R> => {
    try {
      return from.func(prototype) as unknown as Sync<A, R>;
    } catch (cause) {
      throw new TcpledgerError(
        'TCPL_E_LIBBPF',
        `libbpf.so.1 lacks a function that the agent calls (${prototype}): it is older than 1.0. Install libbpf 1.0 or newer (Debian 12: apt-get install libbpf1).`,
        { cause },
      );
    }
  };

  const OpenOptions = koffi.struct({
    sz: 'size_t',
    object_name: 'const char *',
    relaxed_maps: 'bool',
    pin_root_path: 'const char *',
    reserved: 'uint32_t',
    kconfig: 'const char *',
    btf_custom_path: 'const char *',
    kernel_log_buf: 'void *',
    kernel_log_size: 'size_t',
    kernel_log_level: 'uint32_t',
  });
  const Timespec = koffi.struct({ seconds: 'int64_t', nanos: 'int64_t' });

  const bpf = {
    setPrint: declare<[null], unknown>(library, 'void *libbpf_set_print(void *print)'),
    open: library.func('bpf_object__open_file', 'void *', ['const char *', koffi.pointer(OpenOptions)]),
    load: declare<[Pointer], number>(library, 'int bpf_object__load(void *object)'),
    close: declare<[Pointer], void>(library, 'void bpf_object__close(void *object)'),
    btf: declare<[Pointer], Pointer>(library, 'void *bpf_object__btf(void *object)'),
    rawBtf: declare<[Pointer, [number]], Pointer>(library, 'void *btf__raw_data(void *btf, _Out_ uint32_t *size)'),
    findMap: declare<[Pointer, string], Pointer>(
      library,
      'void *bpf_object__find_map_by_name(void *object, const char *name)',
    ),
    findProgram: declare<[Pointer, string], Pointer>(
      library,
      'void *bpf_object__find_program_by_name(void *object, const char *name)',
    ),
    mapFd: declare<[Pointer], number>(library, 'int bpf_map__fd(void *map)'),
    setMaxEntries: declare<[Pointer, number], number>(library, 'int bpf_map__set_max_entries(void *map, uint32_t n)'),
    setPinPath: declare<[Pointer, string], number>(library, 'int bpf_map__set_pin_path(void *map, const char *path)'),
    initialValue: declare<[Pointer, [number | bigint]], Pointer>(
      library,
      'void *bpf_map__initial_value(void *map, _Out_ size_t *size)',
    ),
    setAutoload: declare<[Pointer, boolean], number>(
      library,
      'int bpf_program__set_autoload(void *program, bool autoload)',
    ),
    attachCgroup: declare<[number, number, number, Buffer], number>(
      library,
      'int bpf_link_create(int program_fd, int target_fd, int attach_type, const void *options)',
    ),
    pinFd: declare<[number, string], number>(library, 'int bpf_obj_pin(int fd, const char *path)'),
    openPinned: declare<[string], number>(library, 'int bpf_obj_get(const char *path)'),
    programFd: declare<[Pointer], number>(library, 'int bpf_program__fd(void *program)'),
    attach: declare<[Pointer], Pointer>(library, 'void *bpf_program__attach(void *program)'),
    attachIterator: declare<[Pointer, null], Pointer>(
      library,
      'void *bpf_program__attach_iter(void *program, void *options)',
    ),
    linkFd: declare<[Pointer], number>(library, 'int bpf_link__fd(void *link)'),
    pinLink: declare<[Pointer, string], number>(library, 'int bpf_link__pin(void *link, const char *path)'),
    openLink: declare<[string], Pointer>(library, 'void *bpf_link__open(const char *path)'),
    destroyLink: declare<[Pointer], number>(library, 'int bpf_link__destroy(void *link)'),
    createIterator: declare<[number], number>(library, 'int bpf_iter_create(int link_fd)'),
    testRun: declare<[number, Buffer], number>(library, 'int bpf_prog_test_run_opts(int fd, void *options)'),
    lookup: declare<[number, Buffer, Buffer], number>(
      library,
      'int bpf_map_lookup_elem(int fd, const void *key, void *value)',
    ),
    update: declare<[number, Buffer | null, Buffer, number], number>(
      library,
      'int bpf_map_update_elem(int fd, const void *key, const void *value, uint64_t flags)',
    ),
    remove: declare<[number, Buffer], number>(library, 'int bpf_map_delete_elem(int fd, const void *key)'),
    take: declare<[number, null, Buffer], number>(
      library,
      'int bpf_map_lookup_and_delete_elem(int fd, const void *key, void *value)',
    ),
    nextKey: declare<[number, Buffer | null, Buffer], number>(
      library,
      'int bpf_map_get_next_key(int fd, const void *key, void *next)',
    ),
    objectInfo: declare<[number, Buffer, [number]], number>(
      library,
      'int bpf_obj_get_info_by_fd(int fd, void *info, _Inout_ uint32_t *length)',
    ),
  };
  const c = {
    mmap: declare<[Pointer | null, number, number, number, number, number], Pointer>(
      libc,
      'void *mmap(void *address, size_t length, int protection, int flags, int fd, int64_t offset)',
    ),
    read: declare<[number, Buffer, number], number>(libc, 'int64_t read(int fd, void *buffer, size_t count)'),
    close: declare<[number], number>(libc, 'int close(int fd)'),
    sysconf: declare<[number], number>(libc, 'long sysconf(int name)'),
    clock: libc.func('clock_gettime', 'int', ['int', koffi.out(koffi.pointer(Timespec))]),
  };

  const map = (...args: Parameters<typeof c.mmap>): Pointer => {
    const at = c.mmap(...args);
    /* MAP_FAILED arrives as 2^64-1, and a view on null would abort the process */
    if (at === MAP_FAILED || !at) throw systemError('mmap', `a BPF map (${args[1]} bytes)`, koffi.errno());
    return at;
  };

  /* libbpf would print its warnings on stderr; every failure is told by an error of ours instead */
  bpf.setPrint(null);

  return {
    open(path) {
      const log: Pointer = koffi.alloc('char', LOG_BYTES);
      const text = new Uint8Array(koffi.view(log, LOG_BYTES));
      const object: Pointer = bpf.open(path, {
        sz: koffi.sizeof(OpenOptions),
        object_name: 'tcpledger',
        relaxed_maps: false,
        pin_root_path: null,
        reserved: 0,
        kconfig: null,
        btf_custom_path: null,
        kernel_log_buf: log,
        kernel_log_size: LOG_BYTES,
        kernel_log_level: 0,
      });
      if (!object) throw systemError('bpf_object__open_file', path, koffi.errno());
      return {
        object,
        readLog: () => Buffer.from(text.subarray(0, text.indexOf(0))).toString('latin1'),
      };
    },
    load: (object) => later(bpf.load, object),
    close: (object) => bpf.close(object),
    rawBtf(object) {
      const size: [number] = [0];
      const data = bpf.rawBtf(bpf.btf(object), size);
      /* a copy: the object's memory goes with the object */
      return Buffer.from(new Uint8Array(koffi.view(data, size[0])));
    },
    map: (object, name) => present(bpf.findMap(object, name), `map ${name}`),
    program: (object, name) => present(bpf.findProgram(object, name), `program ${name}`),
    mapFd: (map) => bpf.mapFd(map),
    setMaxEntries: (map, entries) => bpf.setMaxEntries(map, entries),
    setPinPath: (map, path) => bpf.setPinPath(map, path),
    initialValue(map) {
      const size: [number | bigint] = [0];
      const data = bpf.initialValue(map, size);
      return new Uint8Array(koffi.view(data, Number(size[0])));
    },
    setAutoload: (program, on) => bpf.setAutoload(program, on),
    attachCgroup(programFd, cgroupFd, attachType, flags) {
      /* struct bpf_link_create_opts as far as its flags */
      const options = Buffer.alloc(16);
      options.writeBigUInt64LE(BigInt(options.length));
      options.writeUInt32LE(flags, 8);
      return bpf.attachCgroup(programFd, cgroupFd, attachType, options);
    },
    pinFd: (fd, path) => bpf.pinFd(fd, path),
    openPinned: (path) => bpf.openPinned(path),
    programFd: (program) => bpf.programFd(program),
    attach: (program) => later(bpf.attach, program),
    attachIterator: (program) => later(bpf.attachIterator, program, null),
    pinLink: (link, path) => bpf.pinLink(link, path),
    openLink(path) {
      const link = bpf.openLink(path);
      return { link, errno: link ? 0 : koffi.errno() };
    },
    destroyLink: (link) => later(bpf.destroyLink, link),
    async runIterator(link) {
      const fd = bpf.createIterator(bpf.linkFd(link));
      if (fd < 0) return fd;
      const buffer = Buffer.alloc(4096);
      let got: number;
      do got = Number(await later(c.read, fd, buffer, buffer.length));
      while (got > 0);
      c.close(fd);
      return got;
    },
    testRun: (programFd) => later(bpf.testRun, programFd, TEST_RUN_OPTIONS),
    lookup: (fd, key, value) => bpf.lookup(fd, key, value),
    update: (fd, key, value, flags) => bpf.update(fd, key, value, flags),
    remove: (fd, key) => bpf.remove(fd, key),
    take: (fd, value) => bpf.take(fd, null, value),
    nextKey: (fd, key, next) => bpf.nextKey(fd, key, next),
    mapId(mapFd) {
      /* struct bpf_map_info: type at 0, id at 4 */
      const info = Buffer.alloc(8);
      const code = bpf.objectInfo(mapFd, info, [info.length]);
      if (code < 0) throw systemError('bpf_obj_get_info_by_fd', 'a BPF map', -code);
      return info.readUInt32LE(4);
    },
    statistics(programFd) {
      /* struct bpf_prog_info, a fixed ABI (include/uapi/linux/bpf.h): run_time_ns at 192, run_cnt at 200. Zeroed: it is read as well as written */
      const info = Buffer.alloc(224);
      if (bpf.objectInfo(programFd, info, [info.length]) < 0) return { runs: 0, runNs: 0 };
      return { runNs: Number(info.readBigUInt64LE(192)), runs: Number(info.readBigUInt64LE(200)) };
    },
    mmap(fd, length, offset, writable) {
      const address = map(null, length, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, offset);
      return { address, view: koffi.view(address, length) };
    },
    remap: ({ address, view }, fd, offset) =>
      void map(address, view.byteLength, PROT_READ, MAP_SHARED | MAP_FIXED, fd, offset),
    pageBytes: () => Number(c.sysconf(SC_PAGESIZE)),
    bootTimeNs() {
      const now: { seconds?: number; nanos?: number } = {};
      c.clock(CLOCK_BOOTTIME, now);
      return Number(now.seconds) * 1e9 + Number(now.nanos);
    },
  };
}

const CLOCK_BOOTTIME = 7;
const SC_PAGESIZE = 30;

/** struct bpf_test_run_opts with nothing in it but its size: a `syscall` or `raw_tp` program without a context. */
const TEST_RUN_OPTIONS = Buffer.alloc(80);
TEST_RUN_OPTIONS.writeBigUInt64LE(BigInt(TEST_RUN_OPTIONS.length));

function loadLibrary(name: string): ReturnType<typeof koffi.load> {
  try {
    return koffi.load(name);
  } catch (cause) {
    throw new TcpledgerError(
      'TCPL_E_LIBBPF',
      `cannot load ${name}: ${(cause as Error).message}. Install libbpf 1.0 or newer (Debian and Ubuntu: apt-get install libbpf1; Fedora: dnf install libbpf; Alpine: apk add libbpf).`,
      { cause },
    );
  }
}

/** Runs a call on a thread of libuv's pool. */
function later<A extends unknown[], R>(call: Sync<A, R>, ...args: A): Promise<R> {
  return new Promise((resolve, reject) => {
    call.async(...args, (error: Error | null, result: R) => (error ? reject(error) : resolve(result)));
  });
}

function present(pointer: Pointer | null, what: string): Pointer {
  if (pointer) return pointer;
  throw new TcpledgerError(
    'TCPL_E_BPF_OBJECT',
    `the BPF object has no ${what}: it does not belong to this build of the agent. Build again (npm run build).`,
  );
}

/** Of the kernel's own, beside those of the C library. */
const ENOTSUPP = 524;

/** `EPERM` for 1. */
export const errnoName = (errno: number): string => (errno === ENOTSUPP ? 'ENOTSUPP' : getSystemErrorName(-errno));

export function systemError(call: string, on: string, errno: number): NodeJS.ErrnoException {
  const name = errnoName(errno);
  return Object.assign(new Error(`${call} of ${on}: ${name}`), { code: name, errno, syscall: call });
}
