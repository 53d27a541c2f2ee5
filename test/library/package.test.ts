/** The built package as programs take it: by import, by require, with its declarations. */
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);
let program: string;

/** A program's folder with the package installed, by a link. */
beforeAll(() => {
  program = mkdtempSync(join(tmpdir(), 'tcpledger-embedding-'));
  writeFileSync(join(program, 'package.json'), '{"private": true}');
  mkdirSync(join(program, 'node_modules'));
  symlinkSync(resolve('.'), join(program, 'node_modules', 'tcpledger'));
  symlinkSync(resolve('node_modules/@types'), join(program, 'node_modules', '@types'));
  symlinkSync(resolve('node_modules/@opentelemetry'), join(program, 'node_modules', '@opentelemetry'));
});
afterAll(() => rmSync(program, { recursive: true }));

const USE = `
try {
  createLedger({});
} catch (error) {
  console.log(ebpfTcpReceiver.type, identityProcessor.type, error instanceof TcpledgerError, error.code);
}
`;

async function node(file: string, text: string): Promise<string> {
  writeFileSync(join(program, file), text);
  const { stdout } = await run(process.execPath, [file], { cwd: program });
  return stdout;
}

describe('the package', () => {
  it('is imported by name', async () => {
    const text = `import { createLedger, ebpfTcpReceiver, identityProcessor, TcpledgerError } from 'tcpledger';${USE}`;
    expect(await node('program.mjs', text)).toBe('ebpf_tcp identity true TCPL_E_ARGUMENTS\n');
  });

  it('is required', async () => {
    const text = `const { createLedger, ebpfTcpReceiver, identityProcessor, TcpledgerError } = require('tcpledger');${USE}`;
    expect(await node('program.cjs', text)).toBe('ebpf_tcp identity true TCPL_E_ARGUMENTS\n');
  });

  it('has declarations that both kinds of modules can use', async () => {
    const text = `
      import { metrics } from '@opentelemetry/api';
      import { createLedger, ebpfTcpReceiver, type Ledger } from 'tcpledger';
      const ledger: Ledger = createLedger({ meterProvider: metrics.getMeterProvider(), receiver: { adopt: false } });
      void ledger.shutdown(1000);
      const type: string = ebpfTcpReceiver.type;
      void type;
      // @ts-expect-error the declarations are no mere any: this option does not exist
      createLedger({ meterProviders: [] });
    `;
    for (const file of ['consumer.mts', 'consumer.cts']) writeFileSync(join(program, file), text);
    const compilerOptions = { module: 'nodenext', strict: true, noEmit: true, types: ['node'], skipLibCheck: false };
    writeFileSync(
      join(program, 'tsconfig.json'),
      JSON.stringify({ compilerOptions, files: ['consumer.mts', 'consumer.cts'] }),
    );
    const tsc = resolve('node_modules/typescript/bin/tsc');
    const said = await run(process.execPath, [tsc, '-p', '.'], { cwd: program }).then(
      ({ stdout }) => stdout,
      ({ stdout }) => stdout,
    );
    expect(said).toBe('');
  });
});
