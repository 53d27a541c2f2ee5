/** Mutated discovery messages for the source istiod: see support/fuzz.ts. `node bench/run.mjs fuzz-istiod` */
import { istiodTarget } from '../test/identity/sources/istiod/support/fuzz.ts';
import { fuzz } from '../test/identity/sources/xds/support/fuzz.ts';
import { measureFuzz } from './support/fuzz.ts';

void measureFuzz((options) => fuzz(istiodTarget, options));
