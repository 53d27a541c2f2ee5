/** The keys that `otlp_http` and `otlp_grpc` share: the Collector's, with its defaults. */
import {
  boolean,
  described,
  duration,
  extensionId,
  type Infer,
  integer,
  mapOfStrings,
  object,
  oneOf,
  refine,
  type Schema,
  string,
  withDefault,
} from '../../collector/schema.ts';

const path = (): Schema<string> => withDefault(string({ empty: true }), '""');

const tls = refine(
  object({
    ca_file: described(
      "PEM file with the roots the peer's certificate is checked against; empty: the system's",
      path(),
    ),
    cert_file: described('PEM file with the client certificate', path()),
    key_file: described("PEM file with the client certificate's key", path()),
    insecure: described('Plaintext instead of TLS', withDefault(boolean(), 'false')),
    insecure_skip_verify: described("TLS without checking the peer's certificate", withDefault(boolean(), 'false')),
    server_name_override: described(
      "The name the peer's certificate must have; empty: the host of the endpoint",
      withDefault(string({ empty: true }), '""'),
    ),
  }),
  ({ cert_file, key_file }, wrong) => {
    if (cert_file !== '' && key_file === '') wrong('cert_file', 'a certificate without its key. Set key_file too.');
    if (key_file !== '' && cert_file === '') wrong('key_file', 'a key without its certificate. Set cert_file too.');
  },
);

const retryOnFailure = refine(
  object({
    enabled: described('Whether a failed batch is sent again', withDefault(boolean(), 'true')),
    initial_interval: described('Wait after the first failure', withDefault(duration({ min: '1ms' }), '5s')),
    max_interval: described('Longest wait between two attempts', withDefault(duration({ min: '1ms' }), '30s')),
    max_elapsed_time: described('When a batch is given up; 0s: never', withDefault(duration(), '300s')),
  }),
  ({ initial_interval, max_interval }, wrong) => {
    if (initial_interval > max_interval) wrong('max_interval', 'is shorter than initial_interval.');
  },
);

const sendingQueue = refine(
  object({
    enabled: described(
      'Whether batches wait while others are under way; without it they are dropped',
      withDefault(boolean(), 'true'),
    ),
    queue_size: described(
      'Batches that may wait for each signal (also bounded at 128 MiB)',
      withDefault(integer({ min: 1 }), '1000'),
    ),
    storage: described(
      'A storage extension in which waiting batches survive a restart',
      withDefault(extensionId(), '""'),
    ),
  }),
  ({ enabled, storage }, wrong) => {
    if (!enabled && storage !== '')
      wrong('storage', 'there is no queue to store. Set enabled to true, or leave storage away.');
  },
);

/** The shared keys; `timeout` is the transport's default. */
export function otlpKeys(timeout: string) {
  return {
    compression: described('How requests are compressed', withDefault(oneOf(['gzip', 'none']), 'gzip')),
    headers: described('Sent with every request', withDefault(mapOfStrings(), '{}')),
    timeout: described('Of one attempt', withDefault(duration({ min: '1ms' }), timeout)),
    tls: described('TLS to the peer', tls),
    retry_on_failure: described('Sending again what failed', retryOnFailure),
    sending_queue: described('Batches on their way', sendingQueue),
    metrics_interval: described('How often metrics are sent', withDefault(duration({ min: '100ms' }), '60s')),
  };
}

const shared = object(otlpKeys('30s'));

/** What the shared parts need to know. */
export type OtlpConfig = Infer<typeof shared>;
