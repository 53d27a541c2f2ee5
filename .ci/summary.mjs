/** The closing line: what vitest's JSON report counted, failed steps added. Exit code 1 if anything failed. */
import { readFileSync } from 'node:fs';

const [report, failedSteps] = process.argv.slice(2);
let counted;
try {
  counted = JSON.parse(readFileSync(report, 'utf8'));
} catch (error) {
  console.log(`no test report: ${error.message}`);
  counted = { numPassedTests: 0, numFailedTests: 0, numPendingTests: 0, numTodoTests: 0 };
}
const skipped = counted.numPendingTests + counted.numTodoTests;
// The step that ran the tests has failed when a test has: it is counted by its tests, and every other step as one.
const failed = counted.numFailedTests + Number(failedSteps) - (counted.numFailedTests > 0 ? 1 : 0);
console.log(`${counted.numPassedTests} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
process.exitCode = failed > 0 ? 1 : 0;
