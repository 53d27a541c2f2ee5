/** Mutated discovery messages for the source ads: see support/fuzz.ts. `node bench/run.mjs fuzz-ads` */
import { adsTarget } from '../test/identity/sources/ads/support/fuzz.ts';
import { fuzz } from '../test/identity/sources/xds/support/fuzz.ts';
import { measureFuzz } from './support/fuzz.ts';

void measureFuzz((options) => fuzz(adsTarget, options));
