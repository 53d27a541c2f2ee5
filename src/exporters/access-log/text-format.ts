/** ztunnel's text line: `<time>\t<level>\taccess\t<message>\tk=v k=v …`. */
import { LOG_EVENTS } from '../../semconv/log-record.ts';
import { createFieldRenderer, type FieldText, type LineFormat } from './line-format.ts';
import { quote } from './quote.ts';
import { createTimestamps } from './timestamp.ts';

export function createTextFormat(): LineFormat {
  const timestamp = createTimestamps();
  const fields = createFieldRenderer(createTextFields());
  return (record, peers, source) => {
    const { level, message } = LOG_EVENTS[record.event];
    const time = timestamp(source.wallClock(record.timeNs));
    // Every field brings a space before it; the first one's gives way to the tab.
    return `${time}\t${level}\taccess\t${message}\t${fields(record, peers).slice(1)}\n`;
  };
}

function createTextFields(): FieldText {
  let text = '';
  const number = (name: string, value: number) => {
    text += ` ${name}=${value}`;
  };
  return {
    string(name, value) {
      text += ` ${name}=${quote(value)}`;
    },
    address: (name, value) => ` ${name}=${value}`,
    int: number,
    double: number,
    take() {
      const taken = text;
      text = '';
      return taken;
    },
  };
}
