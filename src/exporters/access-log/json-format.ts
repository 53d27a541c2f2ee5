/** ztunnel's JSON line: one flat object, `level`, `time`, `scope`, `message` first, the connection's id last. */
import { CONNECTION_ID, connectionId, LOG_EVENTS } from '../../semconv/log-record.ts';
import { createFieldRenderer, type FieldText, type LineFormat } from './line-format.ts';
import { quote } from './quote.ts';
import { createTimestamps } from './timestamp.ts';

export function createJsonFormat(): LineFormat {
  const timestamp = createTimestamps();
  const fields = createFieldRenderer(createJsonFields());
  return (record, peers, source) => {
    const { level, message } = LOG_EVENTS[record.event];
    const time = timestamp(source.wallClock(record.timeNs));
    const id = connectionId(source.bootId, record);
    return (
      `{"level":"${level}","time":"${time}","scope":"access","message":"${message}"` +
      `${fields(record, peers)},"${CONNECTION_ID}":"${id}"}\n`
    );
  };
}

function createJsonFields(): FieldText {
  let text = '';
  const number = (name: string, value: number) => {
    text += `,"${name}":${value}`;
  };
  return {
    string(name, value) {
      text += `,"${name}":${quote(value)}`;
    },
    address: (name, value) => `,"${name}":"${value}"`,
    int: number,
    double: number,
    take() {
      const taken = text;
      text = '';
      return taken;
    },
  };
}
