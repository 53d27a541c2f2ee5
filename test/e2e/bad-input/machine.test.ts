/** Machines and neighbours that do not allow it: the right message, the right exit code, nothing left behind. */
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { AS_NOBODY, finish } from '../../cli/support/program.ts';
import { type Agent, type AgentOptions, startAgent } from '../../kernel/support/agent.ts';
import { ownBpffs } from '../../kernel/support/bpffs.ts';
import { undoLater } from '../../kernel/support/cleanup.ts';
import { runSync } from '../../kernel/support/command.ts';
import { freePort } from '../../kernel/support/free-port.ts';
import { type KernelObjects, kernelObjects, nothingIsLeft } from '../../kernel/support/leftovers.ts';
import { describeOnKernel } from '../../kernel/support/suite.ts';
import { Traffic } from '../support/traffic.ts';

/** A private mount namespace in which `what` is hidden by `by`. */
const hidden = (what: string, by: string): string[] => [
  ...['unshare', '--mount', '--propagation', 'private', '--'],
  ...['sh', '-c', 'mount --bind "$1" "$2" && shift 2 && exec "$@"', 'sh', by, what],
];

/** Path of a library as the dynamic linker finds it. */
function library(soname: string): string {
  const path = new RegExp(`^\\s*${soname.replaceAll('.', '\\.')} .*=> (.*)$`, 'm').exec(
    runSync('ldconfig', ['-p']),
  )?.[1];
  if (path === undefined) throw new Error(`ldconfig does not know ${soname}`);
  return realpathSync(path);
}

describeOnKernel('what the machine does not allow', () => {
  let directory: string;
  let removeDirectory: () => void;
  let config: string;
  let before: KernelObjects;
  const agents: Agent[] = [];

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'tcpledger-machine-'));
    removeDirectory = undoLater(() => rmSync(directory, { recursive: true }));
    config = join(directory, 'config.json');
    const pipeline = { receivers: ['ebpf_tcp'], processors: ['identity'], exporters: ['prometheus'] };
    writeFileSync(
      config,
      JSON.stringify({
        receivers: { ebpf_tcp: {} },
        processors: { identity: {} },
        exporters: { prometheus: { endpoint: '127.0.0.1:0' } },
        service: { pipelines: { metrics: pipeline } },
      }),
    );
    before = await kernelObjects();
  });

  afterEach(async () => {
    for (const agent of agents.splice(0)) await agent.kill();
    removeDirectory();
    await nothingIsLeft(before);
  });

  async function started(options: AgentOptions): Promise<Agent> {
    const agent = await startAgent(options);
    agents.push(agent);
    return agent;
  }

  const MACHINES = [
    {
      name: 'a kernel without BTF',
      hide: () => hidden('/sys/kernel/btf', directory),
      says: /^tcpledger: TCPL_E_BTF: .*\/sys\/kernel\/btf\/vmlinux is missing.*CONFIG_DEBUG_INFO_BTF=y/m,
      doctor: /^✗ kernel types \(BTF\) .*is missing/m,
    },
    {
      name: 'a machine without libbpf',
      hide: () => hidden(library('libbpf.so.1'), '/dev/null'),
      says: /^tcpledger: TCPL_E_LIBBPF: cannot load libbpf\.so\.1: .*apt-get install libbpf1/m,
      doctor: /^✗ libbpf /m,
    },
    {
      name: 'a libbpf that is too old',
      hide: () => hidden(library('libbpf.so.1'), library('libm.so.6')),
      says: /^tcpledger: TCPL_E_LIBBPF: libbpf\.so\.1 lacks a function.*older than 1\.0.*apt-get install libbpf1/m,
      doctor: /^✗ libbpf /m,
    },
    {
      name: 'CAP_BPF alone',
      hide: () => {
        // nobody must be able to read the configuration
        runSync('chmod', ['-R', 'a+rX', directory]);
        const only = ['--bounding-set', '-all,+bpf', '--inh-caps', '-all,+bpf', '--ambient-caps', '-all,+bpf'];
        return [...AS_NOBODY, ...only];
      },
      says: /^tcpledger: TCPL_E_PRIVILEGE: .*lacks CAP_PERFMON\. .*AmbientCapabilities=CAP_PERFMON/m,
      doctor: /^✗ privileges +CAP_PERFMON missing$/m,
    },
  ];

  test.for(MACHINES)('$name: ends with 3 and says what to do', async ({ hide, says }) => {
    const { code, stdout, stderr } = await finish(['run', '--config', config], { before: hide() });
    expect(stderr).toMatch(says);
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' });
    // an error that was foreseen: no stack
    expect(stderr).not.toMatch(/^ +at /m);
  });

  test.for(MACHINES)('$name: doctor finds it', async ({ hide, doctor }) => {
    const { code, stdout } = await finish(['doctor', '--config', config], { before: hide() });
    expect(stdout).toMatch(doctor);
    expect(code).toBe(3);
  });

  test('a pin path that is on no BPF file system: ends with 1, and makes no directory there', async () => {
    const pinPath = join(directory, 'pins', 'tcpledger');
    const start = started({ receiver: { pin_path: pinPath } });
    await expect(start).rejects.toThrow(/ended with 1:/);
    await expect(start).rejects.toThrow(
      new RegExp(
        `TCPL_E_PIN: cannot pin at receivers\\.ebpf_tcp\\.pin_path ${pinPath}: it is not on a BPF file system`,
      ),
    );
    expect(existsSync(join(directory, 'pins'))).toBe(false);
  });

  test('two agents on one pin path: the second ends with 1 and names the first, which goes on', async () => {
    const bpffs = ownBpffs();
    const traffic = await Traffic.create();
    const options = { workloads: traffic.workloads, receiver: { pin_path: join(bpffs.directory, 'tcpledger') } };
    const first = await started(options);
    await traffic.run(500);
    const second = started(options);
    await expect(second).rejects.toThrow(/ended with 1:/);
    await expect(second).rejects.toThrow(new RegExp(`TCPL_E_PIN: .*: process ${first.pid} holds it\\. `));
    await traffic.run(500);
    await traffic.isOnPage(first);
    await traffic.isInLog(first);
    expect(await first.stop()).toBe(0);
    traffic.remove();
    bpffs.remove();
  });

  test('two agents on one storage directory: the second ends with 1 and names the first, which goes on', async () => {
    const traffic = await Traffic.create();
    const storage = join(directory, 'storage');
    mkdirSync(storage);
    const options = {
      workloads: traffic.workloads,
      extensions: { file_storage: { directory: storage } },
      exporters: {
        // nobody listens there: what matters is the queue
        otlp_http: {
          signals: ['logs'],
          config: { endpoint: `http://127.0.0.1:${await freePort()}`, sending_queue: { storage: 'file_storage' } },
        },
      },
    } as const satisfies AgentOptions;
    const first = await started(options);
    const second = started(options);
    await expect(second).rejects.toThrow(/ended with 1:/);
    await expect(second).rejects.toThrow(new RegExp(`TCPL_E_STORAGE: .*process ${first.pid} holds it`));
    await traffic.run(500);
    await traffic.isOnPage(first);
    await traffic.isInLog(first);
    expect(await first.stop()).toBe(0);
    traffic.remove();
  });
});
