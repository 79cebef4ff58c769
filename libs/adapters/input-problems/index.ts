export { cutBelow, isDeeperThan } from './depth.js';
export { checkInput, formatProblem, type Checked, type InputProblem } from './input-problem.js';
export { nearestKey } from './nearest-key.js';
