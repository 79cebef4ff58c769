// Jest runs what tsc wrote to dist/: the code under test is the code that ships, child processes and
// threads included, and every import resolves as in production.
export default {
  rootDir: '.',
  testEnvironment: 'node',
  roots: ['<rootDir>/dist'],
  testMatch: ['<rootDir>/dist/**/*.spec.js'],
  // All cores: half of the time a suite waits, for processes it has started and for time to pass.
  maxWorkers: '100%',
  // A machine that is busy with something else is slow, not wrong.
  testTimeout: 20_000,
  // When coverage is counted, a worker that ends has its counts to write.
  workerGracefulExitTimeout: 60_000,
  transform: { '^.+/dist/.+\\.js$': '<rootDir>/scripts/jest-compiled.cjs' },
};
