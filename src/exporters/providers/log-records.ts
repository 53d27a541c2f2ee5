/** Connection records through an embedding program's LoggerProvider: the same records as OTLP's, one object each. */
import type { Logger, LogRecord } from '@opentelemetry/api-logs';
import type { Consumer } from '../../collector/component.ts';
import type { IdentifiedRecords, Peers } from '../../identity/types.ts';
import type { ConnectionRecord } from '../../receiver/types.ts';
import {
  accessLogFields,
  connectionAttributes,
  type FieldSink,
  flowAttributes,
  LOG_EVENTS,
  pairAttributes,
} from '../../semconv/log-record.ts';

type RecordAttributes = Record<string, string | number>;

export function createLogRecords(logger: Logger): Consumer<IdentifiedRecords> {
  return {
    consume({ records, peers, source }) {
      const observedTimestamp = new Date();
      records.forEach((record, i) => {
        const { eventName, message, severityNumber, severityText } = LOG_EVENTS[record.event];
        const { seconds, nanos } = source.wallClock(record.timeNs);
        const logRecord: LogRecord = {
          eventName,
          timestamp: [seconds, nanos],
          observedTimestamp,
          severityNumber,
          severityText,
          body: message,
          attributes: attributesOf(record, peers[i]!, source.bootId),
        };
        logger.emit(logRecord);
      });
    },
  };
}

function attributesOf(record: ConnectionRecord, peers: Peers, bootId: string): RecordAttributes {
  const attributes: RecordAttributes = {};
  const set = (name: string, value: string | number) => {
    attributes[name] = value;
  };
  const sink: FieldSink = { string: set, int: set, double: set };
  accessLogFields(record, peers, sink);
  pairAttributes(peers, sink);
  flowAttributes(record, peers, sink);
  connectionAttributes(record, bootId, sink);
  return attributes;
}
