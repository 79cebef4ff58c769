import { allInOne } from './all-in-one.js';
import { badInputSuite } from './bad-input.suite.js';

badInputSuite(allInOne());
