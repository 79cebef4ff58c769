import { connect, isIP, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import type { ISocketFactory } from 'kafkajs';

const LENGTH_BYTES = 4;
/** No broker sends more: a fetch is bounded, and its one batch by what the topic takes. */
const MAX_ANSWER_BYTES = 512 * 1024 * 1024;
const KEEP_ALIVE_MS = 60_000;

/** As the library makes its connections. */
export const plainSocket: ISocketFactory = ({ host, port, ssl, onConnect }) => {
  const named = isIP(host) === 0 ? { servername: host } : {};
  // The library gives null where its types say undefined.
  const socket = ssl
    ? connectTls({ host, port, ...named, ...(ssl as ConnectionOptions) }, onConnect)
    : connect({ host, port }, onConnect);
  return socket.setKeepAlive(true, KEEP_ALIVE_MS);
};

/**
 * Sockets whose `data` ends where an answer of the broker ends. The library keeps the part of an answer that it has when
 * its connection is cut, and takes it for the beginning of the next connection's: that one then waits for an answer of
 * two gigabytes, for good. Here it never has a part.
 */
export function givingWholeAnswers(make: ISocketFactory): ISocketFactory {
  return (given) => {
    const socket = make(given);
    const answers = new WholeAnswers();
    const emit = socket.emit.bind(socket) as (event: string | symbol, ...args: unknown[]) => boolean;
    const emitWhole = (chunk: Buffer): boolean => {
      const whole = answers.take(chunk);
      if (whole === undefined) socket.destroy(new Error('the broker must send answers, got something else'));
      for (const piece of whole ?? []) emit('data', piece);
      return true;
    };
    socket.emit = ((event: string | symbol, ...args: unknown[]) =>
      event === 'data' ? emitWhole(args[0] as Buffer) : emit(event, ...args)) as Socket['emit'];
    return socket;
  };
}

/** Holds what has arrived of an answer until the rest has. Answers follow each other, each behind its length. */
export class WholeAnswers {
  private held: Buffer[] = [];
  private length = 0;
  private lengthBytes = 0;
  private missing = 0;

  /** What can be handed on now that this has arrived, in pieces; undefined: these are no answers. */
  take(chunk: Buffer): Buffer[] | undefined {
    let wholeTo = 0;
    for (let at = 0; at < chunk.length;) {
      at +=
        this.lengthBytes < LENGTH_BYTES ? this.readLength(chunk[at] as number) : this.pass(chunk.length - at);
      if (this.length > MAX_ANSWER_BYTES) return undefined;
      if (this.lengthBytes < LENGTH_BYTES || this.missing > 0) continue;
      [this.length, this.lengthBytes] = [0, 0];
      wholeTo = at;
    }
    if (wholeTo === 0) {
      this.held.push(chunk);
      return [];
    }
    const whole = [...this.held, chunk.subarray(0, wholeTo)];
    this.held = wholeTo < chunk.length ? [chunk.subarray(wholeTo)] : [];
    return whole;
  }

  private readLength(byte: number): number {
    this.length = this.length * 256 + byte;
    this.lengthBytes += 1;
    this.missing = this.length;
    return 1;
  }

  private pass(bytes: number): number {
    const passed = Math.min(bytes, this.missing);
    this.missing -= passed;
    return passed;
  }
}
