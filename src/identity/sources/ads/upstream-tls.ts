/**
 * Whom a cluster's TLS takes for its endpoints: the subject alternative names of all its transport sockets
 * (envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext).
 */
import type { ProtobufReader } from '../xds/protobuf-reader.ts';
import { each, readAny } from './wire.ts';

const UPSTREAM_TLS = 'envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext';

export interface Sans {
  /** Reads TransportSocket { typed_config = 3 }, the field just found. */
  readTransportSocket(reader: ProtobufReader): void;
  /** Reads Cluster.TransportSocketMatch { transport_socket = 3 }. */
  readTransportSocketMatch(reader: ProtobufReader): void;
  /** The name, if there is exactly one and it is a SPIFFE id. */
  readonly principal: string | undefined;
}

export function createSans(): Sans {
  /** undefined: one that is not given as a text. */
  const names = new Set<string | undefined>();
  const readTransportSocket = (reader: ProtobufReader) =>
    each(reader, (field) => {
      if (field !== 3) return;
      const { type, value } = readAny(reader.bytes());
      if (type === UPSTREAM_TLS) readUpstreamTls(value, names);
    });
  return {
    readTransportSocket,
    readTransportSocketMatch: (reader) =>
      each(reader, (field) => {
        if (field === 3) readTransportSocket(reader);
      }),
    get principal() {
      const [name] = names;
      return names.size === 1 && name?.startsWith('spiffe://') ? name : undefined;
    },
  };
}

/**
 * UpstreamTlsContext { common_tls_context = 1 { validation_context = 3, combined_validation_context = 8
 * { default_validation_context = 1 } } }.
 */
function readUpstreamTls(reader: ProtobufReader, names: Set<string | undefined>): void {
  const readContext = () => readValidationContext(reader, names);
  const readCombined = (field: number) => {
    if (field === 1) readContext();
  };
  const readCommon = (field: number) => {
    if (field === 3) readContext();
    else if (field === 8) each(reader, readCombined);
  };
  while (reader.next()) if (reader.field === 1) each(reader, readCommon);
}

/** CertificateValidationContext { match_subject_alt_names = 9, match_typed_subject_alt_names = 15 { matcher = 2 } }. */
function readValidationContext(reader: ProtobufReader, names: Set<string | undefined>): void {
  each(reader, (field) => {
    if (field === 9) names.add(readExact(reader));
    else if (field === 15) {
      each(reader, (typed) => {
        if (typed === 2) names.add(readExact(reader));
      });
    }
  });
}

/** StringMatcher { exact = 1 }; undefined if it matches otherwise. */
function readExact(reader: ProtobufReader): string | undefined {
  let exact: string | undefined;
  each(reader, (field) => {
    if (field === 1) exact = reader.text();
  });
  return exact;
}
