import { allInOne } from './all-in-one.js';
import { replaySuite } from './replay.suite.js';

replaySuite(allInOne());
