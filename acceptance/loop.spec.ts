import { allInOne } from './all-in-one.js';
import { loopSuite } from './loop.suite.js';

loopSuite(allInOne());
