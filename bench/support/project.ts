/** The root of the project, from wherever the bundled benchmark lies: benchmarks are run by bench/run.mjs, which says it. */
export const PROJECT: string = process.env.TCPLEDGER_PROJECT ?? process.cwd();
