/** Whether what exporters write to and read from on this machine can be had: without it the agent does not start. */

import type { ResolvedConfig } from '../../collector/config/resolved.ts';
import type { ErrorCode } from '../../collector/errors.ts';
import { checkOutput } from '../../exporters/access-log/open-output.ts';
import { readTlsFiles, type TlsConfig } from '../../exporters/otlp/tls-files.ts';
import { grpcTarget } from '../../exporters/otlp-grpc/endpoint.ts';
import type { Finding } from './finding.ts';

interface OtlpConfig {
  readonly endpoint: string;
  readonly tls: TlsConfig;
}

/** One finding for each file, or set of files, that is named. */
export async function outputs({ exporters }: ResolvedConfig): Promise<readonly Finding[]> {
  const findings = exporters.map(async ({ id, factory, config }): Promise<Finding[]> => {
    switch (factory.type) {
      case 'access_log':
        return accessLog(id, (config as { readonly output: string }).output);
      case 'otlp_http':
        return tlsFiles(id, (config as OtlpConfig).tls);
      case 'otlp_grpc': {
        const { endpoint, tls } = config as OtlpConfig;
        return grpcTarget(endpoint, tls.insecure).plaintext ? [] : tlsFiles(id, tls);
      }
      default:
        return [];
    }
  });
  return (await Promise.all(findings)).flat();
}

async function accessLog(id: string, output: string): Promise<Finding[]> {
  if (output === 'stdout' || output === 'stderr') return [];
  return [await found('access log', output, 'TCPL_E_OUTPUT', () => checkOutput(output, `exporters.${id}.output`))];
}

async function tlsFiles(id: string, tls: TlsConfig): Promise<Finding[]> {
  const files = [tls.ca_file, tls.cert_file, tls.key_file].filter((file) => file !== '');
  if (files.length === 0) return [];
  return [await found(`TLS of ${id}`, files.join(', '), 'TCPL_E_CONFIG', () => void readTlsFiles(tls, id))];
}

async function found(
  feature: string,
  detail: string,
  code: ErrorCode,
  attempt: () => void | Promise<void>,
): Promise<Finding> {
  try {
    await attempt();
    return { feature, ok: true, detail };
  } catch (error) {
    return { feature, ok: false, detail: (error as Error).message, code };
  }
}
