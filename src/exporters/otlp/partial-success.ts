/** What a peer that took a request says about it: how many items it refused after all, and why. */
import type { ISerializer } from '@opentelemetry/otlp-transformer';
import type { Signal } from '../../collector/component.ts';

export interface PartialSuccess {
  readonly rejected: number;
  /** The peer's words (a warning, if it rejected nothing), or that its answer makes no sense. '' if all is well. */
  readonly reason: string;
}

const WHOLE: PartialSuccess = { rejected: 0, reason: '' };

/** Reads an ExportLogsServiceResponse or an ExportMetricsServiceResponse. */
export async function partialSuccessOf(signal: Signal, response: Uint8Array): Promise<PartialSuccess> {
  if (response.length === 0) return WHOLE;
  // Loaded when a peer first has something to say: most never do, and the serializers take megabytes.
  const { ProtobufLogsSerializer, ProtobufMetricsSerializer } = await import('@opentelemetry/otlp-transformer');
  if (signal === 'logs') {
    return read(ProtobufLogsSerializer, response, ({ partialSuccess }) => ({
      rejected: partialSuccess?.rejectedLogRecords ?? 0,
      reason: partialSuccess?.errorMessage ?? '',
    }));
  }
  return read(ProtobufMetricsSerializer, response, ({ partialSuccess }) => ({
    rejected: partialSuccess?.rejectedDataPoints ?? 0,
    reason: partialSuccess?.errorMessage ?? '',
  }));
}

/**
 * The status has said that the request was taken. A body that nobody can read does not take that back (OTLP: not to be
 * sent again), but it may mean that the peer is no OTLP receiver at all.
 */
function read<Request, Response>(
  serializer: ISerializer<Request, Response>,
  response: Uint8Array,
  partialSuccess: (response: Response) => PartialSuccess,
): PartialSuccess {
  try {
    return partialSuccess(serializer.deserializeResponse(response));
  } catch (error) {
    return {
      rejected: 0,
      reason: `its answer is no OTLP response (${(error as Error).message}): is it an OTLP receiver?`,
    };
  }
}
