// npm run test:faults: what takes minutes or a namespace of its own to break. Same compiled code, same runner, one at a
// time: a disk that is full is so for everybody.
import specs from './jest.config.js';

export default { ...specs, testMatch: ['<rootDir>/dist/**/*.fault.js'], maxWorkers: 1 };
