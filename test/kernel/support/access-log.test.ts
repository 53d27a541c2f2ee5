import { expect, test } from 'vitest';
import { parseJsonLine, parseLog, parseTextLine } from './access-log.ts';

const FIELDS = {
  'src.addr': '10.244.0.10:47667',
  'src.workload': 'sleep "a" b',
  'dst.addr': '[fd00::1]:8080',
  direction: 'inbound',
  bytes_sent: 239,
  bytes_recv: 76,
  duration: '2ms',
};

test('reads the text format', () => {
  const line =
    '2024-05-30T12:18:10.172761Z\tinfo\taccess\tconnection complete\tsrc.addr=10.244.0.10:47667 ' +
    'src.workload="sleep \\"a\\" b" dst.addr=[fd00::1]:8080 direction="inbound" bytes_sent=239 bytes_recv=76 duration="2ms"';
  expect(parseTextLine(line)).toEqual({
    time: '2024-05-30T12:18:10.172761Z',
    level: 'info',
    message: 'connection complete',
    fields: FIELDS,
  });
  expect(() => parseTextLine(line.replace('direction="inbound"', 'direction=in bound'))).toThrow('no field at column');
  expect(() => parseTextLine(line.replace('\taccess', ' access'))).toThrow('not a line');
});

test('reads the JSON format, and leaves out a line that is still being written', () => {
  const line = JSON.stringify({ level: 'info', time: 't', scope: 'access', message: 'connection complete', ...FIELDS });
  expect(parseLog(`${line}\n${line.slice(0, 40)}`)).toEqual([
    { time: 't', level: 'info', message: 'connection complete', fields: FIELDS },
  ]);
  expect(() => parseJsonLine('{"level":"info"}')).toThrow('not a line');
});
