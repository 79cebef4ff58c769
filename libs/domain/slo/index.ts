export { objectiveSchema, type Objective } from './objective.js';
