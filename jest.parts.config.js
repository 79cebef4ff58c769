// npm run test:parts: suites that need a real server. One at a time: a broker and its client fill two cores.
import specs from './jest.config.js';

export default {
  ...specs,
  testMatch: ['<rootDir>/dist/**/*.parts.js'],
  maxWorkers: 1,
  testTimeout: 180_000, // a server that starts on a busy machine
};
