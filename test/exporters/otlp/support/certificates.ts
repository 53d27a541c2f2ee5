/** A certificate authority of one test, with a server and a client certificate, by openssl. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Certificates {
  /** Paths of PEM files. */
  readonly ca: string;
  readonly serverCert: string;
  readonly serverKey: string;
  readonly clientCert: string;
  readonly clientKey: string;
  /** Made by another authority. */
  readonly strangerCa: string;
  readonly read: (path: string) => Buffer;
  readonly remove: () => void;
}

/** The server's certificate is for localhost, 127.0.0.1, collector.test and istiod.istio-system.svc. */
export function createCertificates(): Certificates {
  const folder = mkdtempSync(join(tmpdir(), 'tcpledger-tls-'));
  const at = (name: string) => join(folder, name);
  const openssl = (...args: string[]) =>
    execFileSync('openssl', args, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  const authority = (name: string) =>
    openssl(
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'],
      ...['-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.pem`],
    );
  const signed = (name: string, extensions: string) => {
    openssl(
      ...['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-subj', `/CN=${name}`],
      ...['-keyout', `${name}.key`, '-out', `${name}.csr`],
    );
    writeFileSync(at(`${name}.ext`), extensions);
    openssl(
      ...['x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2'],
      ...['-extfile', `${name}.ext`, '-out', `${name}.pem`],
    );
  };
  authority('ca');
  authority('stranger');
  signed('server', 'subjectAltName=DNS:localhost,IP:127.0.0.1,DNS:collector.test,DNS:istiod.istio-system.svc\n');
  signed('client', 'extendedKeyUsage=clientAuth\n');
  return {
    ca: at('ca.pem'),
    serverCert: at('server.pem'),
    serverKey: at('server.key'),
    clientCert: at('client.pem'),
    clientKey: at('client.key'),
    strangerCa: at('stranger.pem'),
    read: (path) => readFileSync(path),
    remove: () => rmSync(folder, { recursive: true }),
  };
}
