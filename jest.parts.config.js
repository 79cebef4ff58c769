// npm run test:parts: suites that need a real server, two at a time where they mostly wait (scripts/parts-runner.js).
import specs from './jest.config.js';

export default {
  ...specs,
  testMatch: ['<rootDir>/dist/**/*.parts.js'],
  runner: '<rootDir>/scripts/parts-runner.js',
  maxWorkers: 2,
  testTimeout: 180_000, // a server that starts on a busy machine
};
