/** A mesh of any size, as istiod encodes it: one DeltaDiscoveryResponse. */
import { ADDRESS_TYPE } from '../../src/identity/sources/istiod/address.ts';
import { ProtobufWriter } from '../../src/identity/sources/xds/protobuf-writer.ts';

const NAMESPACES = 50;
const NODES = 200;

const message = (): ProtobufWriter => new ProtobufWriter();

export function discoveryMessage(workloads: number, services: number): Buffer {
  const response = message().text(1, '2026-11-24T09:12:50Z/42');
  for (let i = 0; i < services; i++) {
    const namespace = `team-${i % NAMESPACES}`;
    response.bytes(2, resource(`${namespace}/${hostname(i)}`, message().bytes(2, service(i, namespace)).finish()));
  }
  for (let i = 0; i < workloads; i++) {
    const uid = `Kubernetes//Pod/team-${(i % services) % NAMESPACES}/${podName(i, services)}`;
    response.bytes(
      2,
      resource(
        uid,
        message()
          .bytes(1, workload(i, services, uid))
          .finish(),
      ),
    );
  }
  return Buffer.from(response.text(4, ADDRESS_TYPE).text(5, 'nonce-1').finish());
}

const hostname = (service: number): string => `app-${service}.team-${service % NAMESPACES}.svc.cluster.local`;
const podName = (i: number, services: number): string =>
  `app-${i % services}-5d4f8c7b9-${i.toString(36).padStart(5, 'x')}`;

/** Resource: version 1, resource 2 (Any: type_url 1, value 2), name 3. istiod's version is a hash of 16 hexadecimal digits. */
function resource(name: string, address: Buffer): Buffer {
  const any = message().text(1, ADDRESS_TYPE).bytes(2, address).finish();
  return message().text(1, hash(name)).bytes(2, any).text(3, name).finish();
}

function hash(text: string): string {
  let value = 0xcbf29ce484222325n;
  for (let i = 0; i < text.length; i++)
    value = BigInt.asUintN(64, (value ^ BigInt(text.charCodeAt(i))) * 0x100000001b3n);
  return value.toString(16).padStart(16, '0');
}

function service(i: number, namespace: string): Buffer {
  const vip = message()
    .bytes(2, Buffer.from([172, 16 + (i >> 16), (i >> 8) & 255, i & 255]))
    .finish();
  return message()
    .text(1, `app-${i}`)
    .text(2, namespace)
    .text(3, hostname(i))
    .bytes(4, vip)
    .bytes(5, message().number(1, 80).number(2, 8080).finish())
    .finish();
}

function workload(i: number, services: number, uid: string): Buffer {
  const app = i % services;
  const namespace = `team-${app % NAMESPACES}`;
  const ports = message().bytes(1, message().number(1, 80).number(2, 8080).finish()).finish();
  return message()
    .text(1, podName(i, services))
    .text(2, namespace)
    .bytes(3, Buffer.from([10, i >> 16, (i >> 8) & 255, i & 255]))
    .number(5, 1)
    .text(7, `app-${app}`)
    .text(9, `ip-10-0-${i % NODES}-17.eu-central-1.compute.internal`)
    .text(10, `app-${app}`)
    .text(11, 'v1')
    .text(13, `app-${app}`)
    .text(20, uid)
    .bytes(
      22,
      message()
        .text(1, `${namespace}/${hostname(app)}`)
        .bytes(2, ports)
        .finish(),
    )
    .bytes(
      24,
      message()
        .text(1, 'eu-central-1')
        .text(2, `eu-central-1${'abc'[i % 3]}`)
        .finish(),
    )
    .finish();
}
