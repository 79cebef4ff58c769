/** Time as a fleet needs it: real for processes, a variable in a simulation. */
export interface FleetTime {
  /** Never goes back; its zero means nothing. */
  nowMs(): number;
  /** Runs once after the delay; the returned function prevents it. */
  after(delayMs: number, run: () => void): () => void;
}
