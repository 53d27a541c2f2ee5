import { expect, test } from 'vitest';
import { loadFailure } from '../../src/receiver/load-failure.ts';

test('what lacks is named first, whatever the kernel said', () => {
  const error = loadFailure(1, 'verifier', ['CAP_BPF', 'CAP_PERFMON']);
  expect(error).toMatchObject({ code: 'TCPL_E_PRIVILEGE', exitCode: 3 });
  expect(error.message).toMatch(/lacks CAP_BPF, CAP_PERFMON\. .*AmbientCapabilities=CAP_BPF CAP_PERFMON/);
});

test.for([1, 13])('errno %i in spite of the capabilities points at lockdown', (errno) => {
  const error = loadFailure(errno, '', []);
  expect(error).toMatchObject({ code: 'TCPL_E_KERNEL_FEATURE', exitCode: 3 });
  expect(error.message).toMatch(/(EPERM|EACCES)\. .*lockdown/);
  expect(error.message).not.toContain('verifier');
});

test('another errno points at the kernel', () => {
  expect(loadFailure(22, '', []).message).toMatch(/EINVAL\. .*Linux 5\.15/);
});

test.each([7, 13, 22, 28])('what a verifier refuses (errno %i) is a defect, with the end of what it said', (errno) => {
  const log = Array.from({ length: 40 }, (_, i) => `line ${i}`).join('\n');
  const { message } = loadFailure(errno, `${log}\n`, []);
  expect(message).toMatch(/Linux 5\.15.*a defect.*reported with what the verifier said:\nline 34\n.*line 39$/s);
  expect(message).not.toContain('lockdown');
});

test('an attach that libbpf gives no errno for', () => {
  expect(loadFailure(0, '', []).message).toContain('the program could not be attached');
});
