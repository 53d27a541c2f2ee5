/** Mutated lists and watches for the source kubernetes: see support/fuzz.ts. `node bench/run.mjs fuzz-kubernetes` */
import { fuzz } from '../test/identity/sources/kubernetes/support/fuzz.ts';
import { measureFuzz } from './support/fuzz.ts';

void measureFuzz(fuzz);
