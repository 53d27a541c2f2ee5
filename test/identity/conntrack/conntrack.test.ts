/** Asking, by a kernel that answers, refuses, is silent, or has nothing to be asked for. */
import { constants } from 'node:os';
import { describe, expect, it } from 'vitest';
import { obstacle } from '../../../src/identity/conntrack/availability.ts';
import { Conntrack, RETRY_MS } from '../../../src/identity/conntrack/conntrack.ts';
import type { Flow } from '../../../src/identity/conntrack/messages.ts';
import { FakeClock } from '../fakes.ts';
import { FakeConntrackKernel } from './fake-kernel.ts';
import { errorMessage } from './wire.ts';

const { EPERM, EINVAL, EOPNOTSUPP, EPROTONOSUPPORT, ENOBUFS, EBUSY, ECONNREFUSED } = constants.errno;

const flow = (localPort: number): Flow => ({
  localAddress: '10.0.0.1',
  localPort,
  remoteAddress: '10.96.0.1',
  remotePort: 80,
});
const flows = (count: number): Flow[] => Array.from({ length: count }, (_, at) => flow(1_000 + at));
const server = (port: number) => ({ address: `10.0.1.${port % 2}`, port });

function create() {
  const kernel = new FakeConntrackKernel();
  const clock = new FakeClock();
  const reasons: string[] = [];
  return {
    kernel,
    clock,
    reasons,
    conntrack: new Conntrack({ kernel, clock, onUnavailable: (reason) => reasons.push(reason) }),
  };
}

describe('asking', () => {
  it('opens nothing before it is asked for', () => {
    const { kernel, conntrack } = create();
    expect(conntrack.ask([])).toEqual([]);
    expect(kernel.openSockets).toBe(0);
  });

  it('gives each flow its own answer, many in one send', () => {
    const { kernel, conntrack, reasons } = create();
    for (const { localPort } of flows(200)) {
      if (localPort % 3 !== 0) kernel.track(flow(localPort), server(localPort), localPort % 7);
    }
    for (let round = 0; round < 3; round++) {
      expect(conntrack.ask(flows(200))).toEqual(
        flows(200).map(({ localPort }) =>
          localPort % 3 === 0 ? 'none' : expect.objectContaining({ server: server(localPort), state: localPort % 7 }),
        ),
      );
    }
    expect(kernel.sends.slice(0, 4)).toEqual([64, 64, 64, 8]);
    expect(kernel.openSockets).toBe(1);
    expect(reasons).toEqual([]);
    conntrack.close();
    expect(kernel.openSockets).toBe(0);
  });

  it('takes no answer that belongs to another request, or to none', () => {
    const { kernel, conntrack } = create();
    for (const { localPort } of flows(70)) kernel.track(flow(localPort), server(localPort));
    kernel.before = [errorMessage(0, EBUSY), errorMessage(2 ** 31 + 5, EBUSY)];
    kernel.behind = [Buffer.alloc(7), Buffer.alloc(40)];
    for (const answer of conntrack.ask(flows(70))) expect(answer).toMatchObject({ state: 7 });
  });

  it('goes on where single answers are lost or cannot be read', () => {
    const { kernel, conntrack, reasons } = create();
    kernel.track(flow(1_000), server(1_000));
    kernel.before = [ENOBUFS];
    kernel.behind = [errorMessage(1 + 1, EBUSY)];
    expect(conntrack.ask(flows(2))).toEqual([expect.objectContaining({ server: server(1_000) }), 'failed']);
    expect(reasons).toEqual([]);
  });
});

describe('where nothing can be asked', () => {
  it.each([
    ['EPERM', EPERM, /CAP_NET_ADMIN is missing/],
    ['EINVAL', EINVAL, /nf_conntrack_netlink is missing/],
    ['ENOTSUP', EOPNOTSUPP, /nf_conntrack_netlink is missing/],
  ])('refused with %s: asked once a minute', (reason, errno, text) => {
    const { kernel, clock, conntrack, reasons } = create();
    kernel.refusal = errno;
    expect(conntrack.ask(flows(100))).toEqual(new Array(100).fill('unavailable'));
    expect(conntrack.ask(flows(1))).toEqual(['unavailable']);
    expect(kernel.sends).toEqual([64]);
    expect(kernel.openSockets).toBe(0);
    expect(reasons).toEqual([reason]);
    expect(obstacle(reason)).toMatchObject({ detail: expect.stringMatching(text), mend: expect.any(String) });
    clock.advance(RETRY_MS);
    kernel.refusal = 0;
    expect(conntrack.ask(flows(1))).toEqual(['none']);
    expect(reasons).toEqual([reason]);
  });

  it('no connections are tracked: not even a socket is opened, which would load the modules', () => {
    const { kernel, clock, conntrack, reasons } = create();
    kernel.isPresent = false;
    expect(conntrack.ask(flows(2))).toEqual(['unavailable', 'unavailable']);
    expect(reasons).toEqual(['ABSENT']);
    expect(obstacle('ABSENT')).toMatchObject({ harmless: true });
    kernel.isPresent = true;
    expect(conntrack.ask(flows(1))).toEqual(['unavailable']);
    expect(kernel.openSockets).toBe(0);
    clock.advance(RETRY_MS);
    expect(conntrack.ask(flows(1))).toEqual(['none']);
  });

  it('the kernel has no such socket', () => {
    const { kernel, conntrack, reasons } = create();
    kernel.openError = Object.assign(new Error('socket: EPROTONOSUPPORT'), {
      code: 'EPROTONOSUPPORT',
      errno: EPROTONOSUPPORT,
    });
    expect(conntrack.ask(flows(1))).toEqual(['unavailable']);
    expect(reasons).toEqual(['EPROTONOSUPPORT']);
  });

  it('the kernel is silent', () => {
    const { kernel, conntrack, reasons } = create();
    kernel.silent = true;
    expect(conntrack.ask(flows(65))).toEqual([...new Array(64).fill('failed'), 'unavailable']);
    expect(reasons).toEqual(['SILENT']);
    expect(obstacle('SILENT').harmless).toBeUndefined();
  });

  it('sending fails', () => {
    const { kernel, conntrack, reasons } = create();
    kernel.sendError = ECONNREFUSED;
    expect(conntrack.ask(flows(1))).toEqual(['unavailable']);
    expect(reasons).toEqual(['ECONNREFUSED']);
    expect(obstacle('ECONNREFUSED').detail).toContain('ECONNREFUSED');
  });

  it('receiving fails', () => {
    const { kernel, conntrack, reasons } = create();
    kernel.before = [EINVAL];
    expect(conntrack.ask(flows(2))).toEqual(['failed', 'failed']);
    expect(reasons).toEqual(['EINVAL']);
  });
});
