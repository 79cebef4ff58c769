export { LimitedNotes, type Note } from './limited-notes.js';
