/** A second signal within this time is the first one again: a terminal and npm both deliver Ctrl-C, ms. */
const SAME_REQUEST_MS = 1000;

export type StopSignal = 'SIGINT' | 'SIGTERM';

/**
 * Calls `onFirst` once when the process is asked to stop, and `onAgain` when it is asked again later: by someone who
 * does not want to wait. Returns a function that stops listening, so that the default (end at once) counts again.
 */
export function listenForStop(listener: {
  onFirst(signal: StopSignal): void;
  onAgain(signal: StopSignal): void;
  nowMs?: () => number;
}): () => void {
  const nowMs = listener.nowMs ?? Date.now;
  let firstMs: number | undefined;
  const onSignal = (signal: StopSignal): void => {
    if (firstMs === undefined) {
      firstMs = nowMs();
      listener.onFirst(signal);
    } else if (nowMs() - firstMs > SAME_REQUEST_MS) {
      listener.onAgain(signal);
    }
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return () => {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
  };
}
