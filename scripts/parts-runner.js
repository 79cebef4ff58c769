// Jest's runner for the suites on real servers. Those of a server or a part of the program run side by side: half of the
// time they wait, for a server to start or for a time to pass. Then those of whole programs, one at a time: a broker and
// its clients fill two cores.
import TestRunner from 'jest-runner';

const WHOLE_PROGRAMS = /[\\/]dist[\\/]acceptance[\\/]/;

export default class PartsRunner extends TestRunner {
  async runTests(tests, watcher, options) {
    const isAlone = ({ path }) => WHOLE_PROGRAMS.test(path);
    const together = tests.filter((test) => !isAlone(test));
    const alone = tests.filter(isAlone);
    if (together.length > 0) await super.runTests(together, watcher, options);
    if (alone.length > 0) await super.runTests(alone, watcher, { ...options, serial: true });
  }
}
