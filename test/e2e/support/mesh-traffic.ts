/** Connections along every edge of the mesh, and the count of them: the oracle. */
import { type Connection, close, EDGES, type Edge, exchange, type Mesh } from './mesh.ts';

export interface Counts {
  readonly opened: number;
  readonly closed: number;
  /** From the client to the server. */
  readonly received: number;
  readonly sent: number;
}

export type Account = ReadonlyMap<Edge, Counts>;

/** Each edge has its own, so that none is taken for another: 11 and 22 bytes times this. */
const timesOf = (edge: Edge): number => EDGES.indexOf(edge) + 1;

export class MeshTraffic {
  readonly #mesh: Mesh;
  readonly #lasting = new Map<Edge, Connection>();
  readonly #counts = new Map<Edge, { -readonly [Key in keyof Counts]: Counts[Key] }>();

  private constructor(mesh: Mesh) {
    this.#mesh = mesh;
  }

  /** A connection that lasts along each edge, and several that do not: to every pod behind a service. */
  static async begin(mesh: Mesh): Promise<MeshTraffic> {
    const traffic = new MeshTraffic(mesh);
    for (const edge of EDGES) {
      traffic.#counts.set(edge, { opened: 1, closed: 0, received: 0, sent: 0 });
      traffic.#lasting.set(edge, await mesh.connect(edge));
    }
    for (let i = 0; i < 3; i++) await traffic.round();
    return traffic;
  }

  /** Once along each edge: an exchange on the connection that lasts, and a connection that does not. */
  async round(): Promise<void> {
    for (const [edge, lasting] of this.#lasting) {
      await this.#exchange(edge, lasting);
      const connection = await this.#mesh.connect(edge);
      await this.#exchange(edge, connection);
      await close(connection);
      const counts = this.#counts.get(edge)!;
      counts.opened++;
      counts.closed++;
    }
  }

  /** As of now. */
  account(): Account {
    return new Map([...this.#counts].map(([edge, counts]) => [edge, { ...counts }]));
  }

  async end(): Promise<void> {
    for (const connection of this.#lasting.values()) await close(connection);
  }

  async #exchange(edge: Edge, connection: Connection): Promise<void> {
    const times = timesOf(edge);
    await exchange(connection, times);
    const counts = this.#counts.get(edge)!;
    counts.received += 11 * times;
    counts.sent += 22 * times;
  }
}
