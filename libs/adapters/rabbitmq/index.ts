export { connectTo } from './connection.js';
