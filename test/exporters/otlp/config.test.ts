import { describe, expect, it } from 'vitest';
import { grpcTarget } from '../../../src/exporters/otlp-grpc/endpoint.ts';
import { otlpGrpcExporter } from '../../../src/exporters/otlp-grpc/index.ts';
import { otlpHttpExporter, signalUrl } from '../../../src/exporters/otlp-http/index.ts';
import { parseConfig } from './support/exporter.ts';

const SHARED_DEFAULTS = {
  compression: 'gzip',
  headers: {},
  tls: {
    ca_file: '',
    cert_file: '',
    key_file: '',
    insecure: false,
    insecure_skip_verify: false,
    server_name_override: '',
  },
  retry_on_failure: { enabled: true, initial_interval: 5000, max_interval: 30_000, max_elapsed_time: 300_000 },
  sending_queue: { enabled: true, queue_size: 1000, storage: '' },
  metrics_interval: 60_000,
};

describe('configuration of otlp_http', () => {
  it("has the Collector's defaults", () => {
    expect(parseConfig(otlpHttpExporter, '')).toEqual({
      mistakes: [],
      config: {
        endpoint: 'http://localhost:4318',
        logs_endpoint: undefined,
        metrics_endpoint: undefined,
        timeout: 30_000,
        ...SHARED_DEFAULTS,
      },
    });
  });

  it('appends the path of a signal to the endpoint, not to an endpoint of its own', () => {
    const url = (yaml: string, signal: 'logs' | 'metrics') =>
      signalUrl(parseConfig(otlpHttpExporter, yaml).config, signal);
    expect(url('endpoint: https://c:4318', 'logs')).toBe('https://c:4318/v1/logs');
    expect(url('endpoint: https://c:4318/otlp/', 'metrics')).toBe('https://c:4318/otlp/v1/metrics');
    expect(url('{endpoint: http://c:4318, logs_endpoint: http://d:1/x}', 'logs')).toBe('http://d:1/x');
    expect(url('{endpoint: http://c:4318, logs_endpoint: http://d:1/x}', 'metrics')).toBe('http://c:4318/v1/metrics');
  });

  it.each([
    ['endpoint: localhost:4318', /exporters\.otlp_http\.endpoint: .*localhost:4318/],
    ['endpoint: nonsense', /exporters\.otlp_http\.endpoint: /],
    ['endpoint: ftp://c', /exporters\.otlp_http\.endpoint: /],
    ['compression: snappy', /exporters\.otlp_http\.compression: .*"snappy".*gzip or none/],
    ['timeout: 5', /exporters\.otlp_http\.timeout: .*unit/],
    ['timeout: 0s', /exporters\.otlp_http\.timeout: /],
    ['tiemout: 5s', /exporters\.otlp_http\.tiemout: unknown key.*timeout/],
    ['headers: [a]', /exporters\.otlp_http\.headers: /],
    ['tls: {cert_file: /a}', /exporters\.otlp_http\.tls\.cert_file: a certificate without its key/],
    ['tls: {key_file: /a}', /exporters\.otlp_http\.tls\.key_file: a key without its certificate/],
    [
      '{endpoint: "https://c", tls: {insecure: true}}',
      /exporters\.otlp_http\.tls\.insecure: contradicts the https URL/,
    ],
    ['{logs_endpoint: "https://c/l", tls: {insecure: true}}', /contradicts the https URL in logs_endpoint/],
    ['sending_queue: {queue_size: 0}', /exporters\.otlp_http\.sending_queue\.queue_size: /],
    ['sending_queue: {enabled: false, storage: file_storage}', /sending_queue\.storage: there is no queue/],
    ['retry_on_failure: {initial_interval: 1m}', /retry_on_failure\.max_interval: is shorter/],
  ])('refuses %s', (yaml, message) => {
    const { mistakes } = parseConfig(otlpHttpExporter, yaml);
    expect(mistakes).toHaveLength(1);
    expect(mistakes[0]).toMatch(message);
  });
});

describe('configuration of otlp_grpc', () => {
  it("has the Collector's defaults, and a peer on this host", () => {
    expect(parseConfig(otlpGrpcExporter, '')).toEqual({
      mistakes: [],
      config: { endpoint: 'http://localhost:4317', timeout: 5000, ...SHARED_DEFAULTS },
    });
  });

  it.each([
    ['collector:4317', false, 'collector:4317', false],
    ['collector:4317', true, 'collector:4317', true],
    ['http://collector:4317', false, 'collector:4317', true],
    ['https://collector:4317/', false, 'collector:4317', false],
    ['[::1]:4317', true, '[::1]:4317', true],
  ])('reads %s with insecure %s', (endpoint, insecure, address, plaintext) => {
    expect(parseConfig(otlpGrpcExporter, `endpoint: "${endpoint}"`)).toMatchObject({
      mistakes: [],
      config: { endpoint },
    });
    expect(grpcTarget(endpoint, insecure)).toEqual({ address, plaintext });
  });

  it.each([
    ['endpoint: collector', /exporters\.otlp_grpc\.endpoint: .*host:port/],
    ['endpoint: http://collector:4317/v1/logs', /exporters\.otlp_grpc\.endpoint: /],
    ['endpoint: "::1:4317"', /exporters\.otlp_grpc\.endpoint: /],
    ['logs_endpoint: "http://c:1"', /exporters\.otlp_grpc\.logs_endpoint: unknown key/],
    ['{endpoint: "https://c:1", tls: {insecure: true}}', /exporters\.otlp_grpc\.tls\.insecure: contradicts/],
  ])('refuses %s', (yaml, message) => {
    const { mistakes } = parseConfig(otlpGrpcExporter, yaml);
    expect(mistakes).toHaveLength(1);
    expect(mistakes[0]).toMatch(message);
  });
});
