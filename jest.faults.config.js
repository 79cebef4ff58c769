// npm run test:faults: what takes minutes or a namespace of its own to break. Same compiled code, same runner.
import specs from './jest.config.js';

export default { ...specs, testMatch: ['<rootDir>/dist/**/*.fault.js'] };
